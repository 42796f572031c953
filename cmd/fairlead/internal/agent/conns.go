package agent

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// conns bounds the connections of a server. When there are too many, it closes the connection that
// has been idle for longest, so that idle connections keep no client out.
type conns struct {
	most int

	mu    sync.Mutex
	quiet list.List // of net.Conn without a request, the one that has been idle for longest first
	at    map[net.Conn]*list.Element
	open  map[net.Conn]bool
}

// note is the server's ConnState.
func (c *conns) note(conn net.Conn, s http.ConnState) {
	if over := c.change(conn, s); over != nil {
		over.Close()
	}
}

// change returns the connection to close, if there is one.
func (c *conns) change(conn net.Conn, s http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at, c.open = make(map[net.Conn]*list.Element), make(map[net.Conn]bool)
	}
	if e := c.at[conn]; e != nil {
		c.quiet.Remove(e)
		delete(c.at, conn)
	}
	switch s {
	case http.StateNew, http.StateIdle:
		c.open[conn] = true
		c.at[conn] = c.quiet.PushBack(conn)
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
	if len(c.open) <= c.most {
		return nil
	}
	over := conn // all other connections are busy
	if e := c.quiet.Front(); e != nil {
		over = c.quiet.Remove(e).(net.Conn)
		delete(c.at, over)
	}
	delete(c.open, over)
	return over
}
