package nameserver

// This file answers the queries that nearly all clients send, without garbage and without a parsed
// message: for the addresses or the SRV records of a service that is followed already. What is rare
// is left to begin and finish, whose answers say the same; TestQuick and the fuzz test compare
// them.

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	optSize    = 11 // without options
	edeSize    = 6  // of an extended error without a text
	pointer    = 0xc000

	// flags of a header
	flagResponse, flagAuthoritative       = 0x8000, 0x0400
	flagRecursionDesired, flagCheckingOff = 0x0100, 0x0010
	flagsOpcode                           = 0x7800
	// flagDO is in the TTL of a record of EDNS0.
	flagDO = 0x8000
)

// asked is a query as quick reads it. Names are bytes of the packet; plain has them in lower case.
type asked struct {
	id, flags uint16
	question  []byte // with type and class
	qtype     uint16
	domain    int // where the server's domain begins in the packet
	below     int // where the name of the service begins in the packet
	srvOnly   bool
	edns, do  bool
	size      int // of the answer, at most

	plain    [256]byte
	service  []byte
	selector []byte
	scratch  [2 * 256]byte // of both
}

// quick returns the answer to a query over UDP, which it appends to out. It reports false if it
// leaves the query to begin.
func (s *Server) quick(out, packet []byte, q *asked, now time.Time) ([]byte, bool) {
	if !s.read(q, packet) {
		return nil, false
	}
	f := s.services.known(q.service, now)
	if f == nil {
		return nil, false
	}
	x := f.index()
	if x == nil {
		return nil, false
	}
	w := writer{q: q, s: s, now: now, out: out, from: len(out)}
	var found *set
	if x.some {
		found = &x.all
		if len(q.selector) > 0 {
			found = x.named[string(q.selector)]
		}
	}
	w.begin(q.edns && f.feed.Stale())
	if found == nil {
		return w.negative(dns.RcodeNameError)
	}
	list := found.srv
	switch q.qtype {
	case dns.TypeA:
		list = found.v4
	case dns.TypeAAAA:
		list = found.v6
	}
	if q.qtype != dns.TypeSRV && len(found.v4)+len(found.v6) == 0 && len(found.hosts) > 0 {
		return nil, false // it is a CNAME
	}
	if len(list) == 0 {
		return w.negative(dns.RcodeSuccess)
	}
	return w.records(list)
}

// read reads a query; false for one that is not ours to answer, or has anything rare.
func (s *Server) read(q *asked, packet []byte) bool {
	*q = asked{size: dns.MinMsgSize}
	if len(packet) < headerSize || s.wire == nil {
		return false
	}
	q.id, q.flags = binary.BigEndian.Uint16(packet), binary.BigEndian.Uint16(packet[2:])
	if q.flags&(flagResponse|flagsOpcode) != 0 {
		return false
	}
	// One question, no other records but one of EDNS0.
	if binary.BigEndian.Uint64(packet[4:])&^1 != 1<<48 {
		return false
	}
	q.edns = packet[11] == 1
	end, ok := s.readName(q, packet)
	if !ok || len(packet) < end+4 || binary.BigEndian.Uint16(packet[end+2:]) != dns.ClassINET {
		return false
	}
	q.qtype = binary.BigEndian.Uint16(packet[end:])
	q.question = packet[headerSize : end+4]
	if q.qtype != dns.TypeSRV && (q.srvOnly || q.qtype != dns.TypeA && q.qtype != dns.TypeAAAA) {
		return false
	}
	rest := packet[end+4:]
	if !q.edns {
		return len(rest) == 0
	}
	if len(rest) < optSize || rest[0] != 0 || binary.BigEndian.Uint16(rest[1:]) != dns.TypeOPT {
		return false
	}
	q.size = max(q.size, min(maxUDP, int(binary.BigEndian.Uint16(rest[3:]))))
	ttl := binary.BigEndian.Uint32(rest[5:])
	q.do = ttl == flagDO
	return (ttl == 0 || q.do) && onlyCookies(rest[9:])
}

// onlyCookies reports whether the options of EDNS0, which begin with their length, are whole, and
// cookies, which are not answered.
func onlyCookies(options []byte) bool {
	n := int(binary.BigEndian.Uint16(options))
	if options = options[2:]; n != len(options) {
		return false
	}
	for len(options) > 0 {
		if len(options) < 4 || binary.BigEndian.Uint16(options) != dns.EDNS0COOKIE {
			return false
		}
		n := 4 + int(binary.BigEndian.Uint16(options[2:]))
		if n > len(options) {
			return false
		}
		options = options[n:]
	}
	return true
}

// readName reads the name of the question, and returns where it ends; false if it is not a name of
// a service, or has a compressed part, or the label of an address.
func (s *Server) readName(q *asked, packet []byte) (end int, ok bool) {
	var starts [128]uint8
	n, at := 0, headerSize
	for {
		if at >= len(packet) {
			return 0, false
		}
		size := int(packet[at])
		if size == 0 {
			break
		}
		next := at + 1 + size
		if size > maxLabel || next-headerSize >= 255 || next > len(packet) {
			return 0, false
		}
		starts[n] = uint8(at - headerSize)
		n++
		at = next
	}
	end = at + 1
	name := q.plain[:end-headerSize]
	for i, c := range packet[headerSize:end] {
		if c >= 'A' && c <= 'Z' { // no length of a label is one of these
			c += 'a' - 'A'
		}
		name[i] = c
	}
	n -= s.labels
	if n < 1 || string(name[starts[n]:]) != string(s.wire) {
		return 0, false
	}
	q.domain = headerSize + int(starts[n])
	label := func(i int) []byte { return name[starts[i]+1 : starts[i+1]] }
	last := label(n - 1)
	q.below = headerSize + int(starts[n-1])
	if string(last) == protocol {
		if n != 2 {
			return 0, false
		}
		if last = label(0); len(last) < 2 || last[0] != '_' {
			return 0, false
		}
		last, q.srvOnly, n = last[1:], true, 1
		q.below = headerSize
	}
	if q.service, ok = appendName(q.scratch[:0], last); !ok {
		return 0, false
	}
	text := q.scratch[len(q.service):len(q.service)]
	for i := range n - 1 {
		if i > 0 {
			text = append(text, '.')
		}
		before := len(text)
		if text, ok = appendName(text, label(i)); !ok {
			return 0, false
		}
		toLower(text[before:]) // what was spelled may have capital letters
	}
	q.selector = text
	return end, len(text) < len(atAddress) || string(text[:len(atAddress)]) != atAddress
}

// writer writes an answer.
type writer struct {
	q     *asked
	s     *Server
	now   time.Time
	out   []byte
	from  int // where the answer begins in out
	stale bool
}

// begin writes the header, whose counts follow at the end, and the question.
func (w *writer) begin(stale bool) {
	w.stale = stale
	flags := w.q.flags&(flagRecursionDesired|flagCheckingOff) | flagResponse | flagAuthoritative
	w.u16(w.q.id)
	w.u16(flags)
	w.u16(1)
	w.out = append(w.out, 0, 0, 0, 0, 0, 0)
	w.out = append(w.out, w.q.question...)
}

func (w *writer) u16(n uint16) { w.out = binary.BigEndian.AppendUint16(w.out, n) }

func (w *writer) u32(n uint32) { w.out = binary.BigEndian.AppendUint32(w.out, n) }

// header writes a record's header after its name.
func (w *writer) header(rrtype uint16, size int) {
	w.u16(rrtype)
	w.u16(dns.ClassINET)
	w.u32(w.s.ttl)
	w.u16(uint16(size))
}

// end writes what is the same in all answers.
func (w *writer) end(answers, authorities, extras int) ([]byte, bool) {
	if w.q.edns {
		extras++
		w.out = append(w.out, 0)
		w.u16(dns.TypeOPT)
		w.u16(maxQuery)
		var flags uint32
		if w.q.do {
			flags = flagDO
		}
		w.u32(flags)
		if w.stale {
			w.u16(edeSize)
			w.u16(dns.EDNS0EDE)
			w.u16(2)
			w.u16(dns.ExtendedErrorCodeStaleAnswer)
		} else {
			w.u16(0)
		}
	}
	header := w.out[w.from:]
	binary.BigEndian.PutUint16(header[6:], uint16(answers))
	binary.BigEndian.PutUint16(header[8:], uint16(authorities))
	binary.BigEndian.PutUint16(header[10:], uint16(extras))
	return w.out, len(header) <= w.q.size
}

// negative ends the answer like Server.negative.
func (w *writer) negative(rcode byte) ([]byte, bool) {
	w.out[w.from+3] |= rcode
	domain := w.q.domain
	if !bytes.Equal(w.q.question[domain-headerSize:len(w.q.question)-4], w.s.wire) {
		// It is shown as it was configured, whatever the case in the question.
		domain = len(w.out) - w.from
		w.out = append(w.out, w.s.wire...)
	} else {
		w.u16(uint16(pointer | domain))
	}
	w.header(dns.TypeSOA, 2+1+len(hostmaster)+2+5*4)
	w.u16(uint16(pointer | domain))
	w.out = append(w.out, byte(len(hostmaster)))
	w.out = append(w.out, hostmaster...)
	w.u16(uint16(pointer | domain))
	for _, n := range [...]uint32{serial(w.now), soaRefresh, soaRetry, soaExpire, w.s.ttl} {
		w.u32(n)
	}
	return w.end(0, 1, 0)
}

// records ends the answer with a list of records, which begins anywhere, see take. It reports false
// if they do not fit, or not with all addresses of targets.
func (w *writer) records(list []*endpoint) ([]byte, bool) {
	if len(list) > w.q.size/leastRecord {
		return nil, false
	}
	from := w.s.rand(len(list))
	var targets [maxUDP / leastRecord]uint16 // where they are, for those that have an address
	for i := range list {
		e := list[(from+i)%len(list)]
		if w.q.qtype != dns.TypeSRV {
			w.address(headerSize, e)
			continue
		}
		w.u16(pointer | headerSize)
		w.header(dns.TypeSRV, 0)
		start := len(w.out)
		var priority uint16
		if !e.first {
			priority = 1
		}
		w.u16(priority)
		w.u16(uint16(e.in.EffectiveWeight()))
		w.u16(e.port)
		at := len(w.out)
		if e.addr.IsValid() {
			targets[i] = uint16(at - w.from)
			w.target(e)
		} else {
			w.out = appendWire(w.out, e.host)
		}
		binary.BigEndian.PutUint16(w.out[start-2:], uint16(len(w.out)-start))
		if len(w.out)-w.from > w.q.size {
			return nil, false
		}
	}
	extras := 0
	for i := range list {
		e := list[(from+i)%len(list)]
		if targets[i] == 0 || w.before(list, from, i) {
			continue
		}
		w.address(int(targets[i]), e)
		extras++
	}
	return w.end(len(list), 0, extras)
}

// before reports whether one of the records before has the same address.
func (w *writer) before(list []*endpoint, from, i int) bool {
	for j := range i {
		if list[(from+j)%len(list)].addr == list[(from+i)%len(list)].addr {
			return true
		}
	}
	return false
}

// address writes an A or AAAA record, whose name is in the answer already.
func (w *writer) address(name int, e *endpoint) {
	w.u16(uint16(pointer | name))
	if e.addr.Is4() {
		a := e.addr.As4()
		w.header(dns.TypeA, len(a))
		w.out = append(w.out, a[:]...)
		return
	}
	a := e.addr.As16()
	w.header(dns.TypeAAAA, len(a))
	w.out = append(w.out, a[:]...)
}

// target writes the name of an address. It is not compressed: RFC 2782.
func (w *writer) target(e *endpoint) {
	at := len(w.out)
	w.out = append(w.out, 0)
	w.out = appendAddressLabel(w.out, e.addr)
	w.out[at] = byte(len(w.out) - at - 1)
	name := w.q.question[:len(w.q.question)-4]
	below := name[w.q.below-headerSize:]
	if w.q.srvOnly {
		n := below[0]
		w.out = append(w.out, n-1)
		w.out = append(w.out, below[2:1+n]...)
		below = name[w.q.domain-headerSize:]
	}
	w.out = append(w.out, below...)
}

// appendWire appends a host name, which has no escapes, as messages have it.
func appendWire(to []byte, fqdn string) []byte {
	for at := 0; at < len(fqdn); {
		n := 0
		for fqdn[at+n] != '.' {
			n++
		}
		to = append(to, byte(n))
		to = append(to, fqdn[at:at+n]...)
		at += n + 1
	}
	return append(to, 0)
}
