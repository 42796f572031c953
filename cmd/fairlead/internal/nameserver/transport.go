package nameserver

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	// quietFor is how long a connection may be idle, or take for one query or answer: "a few
	// seconds", RFC 7766, section 6.2.3.
	quietFor = 5 * time.Second
	// pause keeps a socket that fails, for lack of file descriptors for example, from taking all
	// processor time.
	pause = 50 * time.Millisecond
)

// serveUDP reads and answers one query after another.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) {
	p := newPort(conn)
	buf, room, q := make([]byte, maxQuery), make([]byte, 0, maxUDP), new(asked)
	for ctx.Err() == nil {
		n, from, source, err := p.read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			_ = backoff.Sleep(ctx, pause)
			continue
		}
		if !s.allows(from) {
			continue // an answer would go to the address that the sender claims to have
		}
		if out, ok := s.quick(room, buf[:n], q, time.Now()); ok {
			_ = p.write(out, from, source) // lost, as packets are; the client asks again
			continue
		}
		r := s.begin(buf[:n], maxUDP)
		if r == nil {
			continue
		}
		send := func(r *request) {
			if out := s.finish(r); out != nil {
				_ = p.write(out, from, source)
			}
		}
		if r.waits() && acquire(s.waiting) {
			started := s.group.Go(func(ctx context.Context) {
				defer func() { <-s.waiting }()
				r.service.await(ctx)
				send(r)
			})
			if !started {
				return
			}
			continue
		}
		send(r)
	}
}

// serveTCP accepts connections. When there are too many, it closes the one that has been idle for
// longest, so that idle ones keep no client out; if all are waiting for an answer, a new one waits.
func (s *Server) serveTCP(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := s.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			_ = backoff.Sleep(ctx, pause)
			continue
		}
		if !s.allows(conn.RemoteAddr().(*net.TCPAddr).AddrPort()) || !s.admit(ctx) {
			conn.Close()
			continue
		}
		ok := s.group.Go(func(ctx context.Context) {
			defer func() { <-s.conns }()
			s.serveConn(ctx, conn)
		})
		if !ok {
			conn.Close()
			return
		}
	}
}

// admit takes a token for a connection, and reports whether it got one before ctx ended.
func (s *Server) admit(ctx context.Context) bool {
	if !acquire(s.conns) {
		s.quiet.closeOldest()
		select {
		case s.conns <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// quiet are connections without a query, the one that has been idle for longest first.
type quiet struct {
	mu   sync.Mutex
	list list.List // of net.Conn
}

func (q *quiet) add(conn net.Conn) *list.Element {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.list.PushBack(conn)
}

func (q *quiet) remove(e *list.Element) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list.Remove(e) // does nothing if closeOldest has removed it
}

func (q *quiet) closeOldest() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.list.Front(); e != nil {
		q.list.Remove(e).(net.Conn).Close()
	}
}

// serveConn answers the queries of a connection in their order, which RFC 7766, section 7, permits.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	buf := make([]byte, maxQuery)
	for {
		if conn.SetReadDeadline(time.Now().Add(quietFor)) != nil {
			return
		}
		e := s.quiet.add(conn)
		query := readQuery(conn, buf)
		s.quiet.remove(e)
		if query == nil {
			return
		}
		r := s.begin(query, dns.MaxMsgSize)
		if r == nil {
			return
		}
		if r.waits() {
			r.service.await(ctx)
		}
		out := s.finish(r)
		if out == nil || conn.SetWriteDeadline(time.Now().Add(quietFor)) != nil {
			return
		}
		// In one write: RFC 7766, section 8.
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// readQuery reads a query into a buffer; nil if there is none, or it is longer than maxQuery.
func readQuery(conn net.Conn, buf []byte) []byte {
	var length [2]byte // RFC 1035, section 4.2.2
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > len(buf) {
		return nil
	}
	if _, err := io.ReadFull(conn, buf[:n]); err != nil {
		return nil
	}
	return buf[:n]
}
