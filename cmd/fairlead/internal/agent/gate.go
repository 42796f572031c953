package agent

import (
	"context"
	"net"
	"net/http"
	"sync"

	"google.golang.org/grpc/stats"
)

// gate bounds the connections to a gRPC server, as conns does for HTTP: a connection without
// streams counts as idle. It is the server's listener, and must be its stats.Handler too: only that
// learns which connection a stream belongs to.
type gate struct {
	net.Listener
	conns conns

	mu   sync.Mutex
	from map[string]*gated // by the client's address
}

type gated struct {
	net.Conn
	of *gate

	mu      sync.Mutex // held while a state is noted: states have to be noted in order
	streams int
	closed  bool
}

func newGate(l net.Listener, most int) *gate {
	return &gate{Listener: l, conns: conns{most: most}, from: make(map[string]*gated)}
}

// Accept admits a connection; another one may be closed for it.
func (g *gate) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &gated{Conn: conn, of: g}
	g.mu.Lock()
	g.from[conn.RemoteAddr().String()] = c
	g.mu.Unlock()
	c.note(http.StateNew)
	return c, nil
}

// note notes the state of a connection.
func (c *gated) note(s http.ConnState) {
	c.mu.Lock()
	over := c.noteLocked(s)
	c.mu.Unlock()
	closeOver(over)
}

func (c *gated) noteLocked(s http.ConnState) net.Conn {
	if c.closed {
		return nil
	}
	c.closed = s == http.StateClosed
	return c.of.conns.change(c, s)
}

// closeOver closes the connection that is one too many, if there is one. The caller holds no lock
// of its own connection, since this is another one.
func closeOver(over net.Conn) {
	if over != nil {
		over.Close()
	}
}

// Close closes the connection.
func (c *gated) Close() error {
	c.of.mu.Lock()
	if at := c.RemoteAddr().String(); c.of.from[at] == c {
		delete(c.of.from, at)
	}
	c.of.mu.Unlock()
	c.note(http.StateClosed)
	return c.Conn.Close()
}

// streamed counts a stream that begins or ends.
func (c *gated) streamed(n int) {
	c.mu.Lock()
	var over net.Conn
	switch was := c.streams; {
	case was == 0:
		over = c.noteLocked(http.StateActive)
	case was+n == 0:
		over = c.noteLocked(http.StateIdle)
	}
	c.streams += n
	c.mu.Unlock()
	closeOver(over)
}

type gatedKey struct{}

// TagConn finds the connection.
func (g *gate) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	return context.WithValue(ctx, gatedKey{}, g.from[info.RemoteAddr.String()])
}

// HandleRPC counts the streams of connections.
func (g *gate) HandleRPC(ctx context.Context, s stats.RPCStats) {
	c, _ := ctx.Value(gatedKey{}).(*gated)
	if c == nil {
		return // the connection was closed before its first stream
	}
	switch s.(type) {
	case *stats.Begin:
		c.streamed(+1)
	case *stats.End:
		c.streamed(-1)
	}
}

// HandleConn does nothing: Accept and Close note the states of connections.
func (g *gate) HandleConn(context.Context, stats.ConnStats) {}

// TagRPC changes nothing: the context is the connection's.
func (g *gate) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
