package nameserver

// This file turns the bytes of a query into those of its answer, without reading or writing a
// socket.

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
)

const (
	// maxQuery is far more than a query needs: a name has 255 bytes, and options are short.
	maxQuery = 4096
	// maxUDP bounds an answer over UDP, even if the client accepts more, so that the server is of
	// little use to attackers who forge the sender of queries. It is the size that clients asked
	// for before RFC 9715.
	maxUDP = 4096
	// leastRecord is the least size of a record: a compressed name, type, class, TTL, length and an
	// address.
	leastRecord = 2 + 2 + 2 + 4 + 2 + 4
	// maxAnswer bounds the records of an answer before compression, so that they and the rest fit
	// into a message over TCP.
	maxAnswer = 60_000
)

// request is a query and the reply that is being made for it.
type request struct {
	reply    *dns.Msg
	size     int       // of the answer, at most
	service  *followed // nil: the reply is complete
	name     string    // as the query has it
	selector string
	below    string // the name of the service
	srvOnly  bool   // the query has it as _SERVICE._tcp
}

// begin reads a query whose answer may have size bytes, maxUDP or dns.MaxMsgSize. It returns nil
// for a packet that gets no answer.
func (s *Server) begin(packet []byte, size int) *request {
	if len(packet) < 12 || packet[2]&0x80 != 0 {
		return nil // there is no header; or it is an answer, and answering answers may go on forever
	}
	r := &request{reply: new(dns.Msg), size: size}
	var q dns.Msg
	if err := q.Unpack(packet); err != nil || endsEarly(&q, packet) {
		r.reply.Id, r.reply.Response = binary.BigEndian.Uint16(packet), true
		r.reply.Opcode, r.reply.RecursionDesired = int(packet[2]>>3&0xf), packet[2]&1 != 0
		r.reply.Rcode = dns.RcodeFormatError
		return r
	}
	r.reply.SetReply(&q)
	opts := 0
	var opt *dns.OPT
	for _, rr := range q.Extra {
		if o, ok := rr.(*dns.OPT); ok {
			opt = o
			opts++
		}
	}
	if opt != nil {
		r.reply.SetEdns0(maxQuery, opt.Do()) // RFC 6891, section 7; RFC 3225, section 3
	}
	if size <= maxUDP {
		r.size = dns.MinMsgSize // RFC 1035, section 4.2.1
		if opt != nil {
			r.size = max(r.size, min(size, int(opt.UDPSize()))) // RFC 6891, sections 6.2.3 and 6.2.5
		}
	}
	switch {
	case q.Opcode != dns.OpcodeQuery:
		r.reply.Rcode = dns.RcodeNotImplemented
	case len(q.Question) != 1 || opts > 1: // RFC 9619; RFC 6891, section 6.1.1
		r.reply.Rcode = dns.RcodeFormatError
	case opt != nil && opt.Version() != 0:
		r.reply.Rcode = dns.RcodeBadVers // RFC 6891, section 6.1.3
	default:
		s.look(r, q.Question[0])
	}
	return r
}

// endsEarly reports whether a message is shorter than its header says, which the library accepts.
// Types and classes of 0 are reserved: RFC 6895, sections 3.1 and 3.2.
func endsEarly(q *dns.Msg, packet []byte) bool {
	for _, one := range q.Question {
		if one.Qtype == 0 || one.Qclass == 0 {
			return true
		}
	}
	for i, n := range []int{len(q.Question), len(q.Answer), len(q.Ns), len(q.Extra)} {
		if int(binary.BigEndian.Uint16(packet[4+2*i:])) != n {
			return true
		}
	}
	return false
}

// look finds the service of a question, or completes the reply.
func (s *Server) look(r *request, q dns.Question) {
	r.name = q.Name
	if q.Qclass == dns.ClassINET && s.reverse(r, q) {
		return
	}
	switch {
	case q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY, !dns.IsSubDomain(s.domain, q.Name):
		r.refuse(dns.ExtendedErrorCodeNotAuthoritative)
		return
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		r.refuse(dns.ExtendedErrorCodeProhibited) // RFC 5936, section 2.2.1
		return
	}
	r.reply.Authoritative = true
	labels, starts := split(q.Name)
	n := len(labels) - s.labels
	if n == 0 {
		s.apex(r)
		return
	}
	service, below := labels[n-1], q.Name[starts[n-1]:]
	rest := labels[:n-1]
	if lower(service) == protocol { // RFC 2782
		if n == 1 {
			s.negative(r, dns.RcodeSuccess) // there are names below it
			return
		}
		service, rest, r.srvOnly = labels[n-2], labels[:n-2], true
		if len(rest) > 0 || len(service) < 2 || q.Name[0] != '_' {
			s.negative(r, dns.RcodeNameError)
			return
		}
		service, below = service[1:], q.Name[1:starts[n-1]]+q.Name[starts[n]:]
	}
	service, ok := name(service)
	for _, l := range rest {
		part, good := name(l)
		ok = ok && good
		if r.selector != "" {
			r.selector += "."
		}
		r.selector += lower(part)
	}
	if !ok {
		s.negative(r, dns.RcodeNameError)
		return
	}
	f, err := s.services.get(service, time.Now())
	switch {
	case errors.Is(err, discovery.ErrInvalid):
		s.negative(r, dns.RcodeNameError)
	case err != nil:
		r.fail(dns.ExtendedErrorCodeNotReady)
	default:
		r.service, r.below = f, below
	}
}

// waits reports whether the request has to wait for the first view of the service.
func (r *request) waits() bool { return r.service != nil && r.service.feed.View() == nil }

// finish returns the answer's bytes.
func (s *Server) finish(r *request) []byte {
	if r.service != nil {
		s.answer(r)
	}
	m := r.reply
	answer, authority := len(m.Answer), len(m.Ns)
	m.Truncate(r.size)
	m.Compress = true
	// Additional records may be missing without a second query: RFC 2181, section 9.
	m.Truncated = len(m.Answer) < answer || len(m.Ns) < authority
	out, err := m.Pack()
	if err == nil && len(out) <= r.size {
		return out
	}
	// This is not known to happen, but the client should get an answer.
	m.Answer, m.Ns, m.Extra, m.Rcode = nil, nil, nil, dns.RcodeServerFailure
	if out, err = m.Pack(); err != nil {
		return nil
	}
	return out
}

// refuse answers a query about a name for which we are not responsible.
func (r *request) refuse(code uint16) {
	r.reply.Rcode = dns.RcodeRefused
	r.explain(code)
}

// fail answers a query about a name for which we are responsible, but know no data.
func (r *request) fail(code uint16) {
	r.reply.Rcode = dns.RcodeServerFailure
	r.reply.Authoritative = false
	r.explain(code)
}

// explain adds an extended error for clients that use EDNS0: RFC 8914.
func (r *request) explain(code uint16) {
	if opt := r.reply.IsEdns0(); opt != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code})
	}
}
