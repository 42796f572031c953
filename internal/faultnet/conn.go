package faultnet

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	chunkSize = 32 << 10 // as io.Copy
	// queueLen is how many chunks may be under way in one direction, 2 MiB at most. That keeps a
	// direction with a delay of up to a second full at any rate that tests use, and bounds how much
	// a black hole takes before the sender's own buffers fill.
	queueLen = 64
)

// conn is one connection through the proxy, from accept to the end of both sides.
type conn struct {
	p      *Proxy
	client net.Conn

	// ctx ends when the connection is aborted; every wait of its goroutines ends with it.
	ctx    context.Context
	cancel context.CancelFunc

	stranded atomic.Bool // see Proxy.Strand

	mu      sync.Mutex
	server  net.Conn // nil until dialled
	aborted bool
	how     func(net.Conn) // how abort ends each side; nil closes it
}

// chunk is a piece of one direction's stream. Nil data with an err is the end of the stream.
type chunk struct {
	data []byte
	read time.Time
	err  error
}

func newConn(p *Proxy, client net.Conn) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	return &conn{p: p, client: client, ctx: ctx, cancel: cancel}
}

// run returns when both sides are closed and no goroutine of the connection is left.
func (c *conn) run() {
	defer c.abort(nil)
	// A black hole lets no connection through either.
	if c.awaitOpen(ToServer) != nil {
		return
	}
	server, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(c.ctx, "tcp", c.p.target)
	if err != nil {
		// The client's connection exists already, so the nearest thing to the target's refusal is a
		// reset.
		c.abort(reset)
		return
	}
	if !c.setServer(server) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.pump(c.client, server, ToServer, &c.p.toServer) })
	wg.Go(func() { c.pump(server, c.client, ToClient, &c.p.toClient) })
	wg.Wait()
}

// setServer reports whether the connection still lives.
func (c *conn) setServer(server net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		end(server, c.how)
		return false
	}
	c.server = server
	return true
}

// abort ends both sides at once: by how, or by closing them if how is nil. Only the first call has
// an effect.
func (c *conn) abort(how func(net.Conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		return
	}
	c.aborted, c.how = true, how
	c.cancel()
	end(c.client, how)
	if c.server != nil {
		end(c.server, how)
	}
}

func end(c net.Conn, how func(net.Conn)) {
	if how != nil {
		how(c)
		return
	}
	c.Close()
}

// reset closes a connection with RST instead of FIN: the peer's next read fails instead of ending.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

type counter interface{ Add(int64) int64 }

// pump moves one direction's bytes until its end. It returns when both of its goroutines have
// ended.
func (c *conn) pump(from, to net.Conn, dir Direction, count counter) {
	queue := make(chan chunk, queueLen)
	var wg sync.WaitGroup
	wg.Go(func() { c.read(from, queue) })
	c.write(to, dir, queue, count)
	wg.Wait()
}

func (c *conn) read(from net.Conn, queue chan<- chunk) {
	for {
		buf := make([]byte, chunkSize)
		n, err := from.Read(buf)
		now := time.Now()
		if n > 0 && !c.enqueue(queue, chunk{data: buf[:n], read: now}) {
			return
		}
		if err != nil {
			c.enqueue(queue, chunk{err: err, read: now})
			return
		}
	}
}

func (c *conn) enqueue(queue chan<- chunk, k chunk) bool {
	select {
	case queue <- k:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *conn) write(to net.Conn, dir Direction, queue <-chan chunk, count counter) {
	for {
		var k chunk
		select {
		case k = <-queue:
		case <-c.ctx.Done():
			return
		}
		if c.awaitDue(k, dir) != nil {
			return
		}
		if k.err != nil {
			c.endOf(to, k.err)
			return
		}
		// The bytes are counted before the write, so that whoever has received them finds them
		// counted.
		count.Add(int64(len(k.data)))
		if _, err := to.Write(k.data); err != nil {
			// The receiver is gone. The sender learns that in the same way as without a proxy.
			c.abort(howFor(err))
			return
		}
	}
}

// endOf passes the end of one direction on: a half-close as a half-close, a reset as a reset.
func (c *conn) endOf(to net.Conn, err error) {
	if tcp, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
		tcp.CloseWrite()
		return
	}
	c.abort(howFor(err))
}

func howFor(err error) func(net.Conn) {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return reset
	}
	return nil
}

// awaitDue returns when a chunk may go out in direction dir under the rules of that time, or when
// the connection ends.
func (c *conn) awaitDue(k chunk, dir Direction) error {
	started := time.Now()
	for {
		r := c.p.current()
		i := dir.index()
		due := k.read.Add(r.delay[i])
		if rate := r.rate[i]; rate > 0 {
			paced := started.Add(time.Duration(len(k.data)) * time.Second / time.Duration(rate))
			if paced.After(due) {
				due = paced
			}
		}
		held := r.held&dir != 0 || c.stranded.Load()
		wait := time.Until(due)
		if !held && wait <= 0 {
			return nil
		}
		if err := c.awaitChange(r, held, wait); err != nil {
			return err
		}
	}
}

// awaitOpen returns when direction dir is not a black hole, or when the connection ends.
func (c *conn) awaitOpen(dir Direction) error {
	return c.awaitDue(chunk{}, dir)
}

// awaitChange returns when other rules apply, when the connection ends or, unless held, after the
// given time.
func (c *conn) awaitChange(r *rules, held bool, wait time.Duration) error {
	var elapsed <-chan time.Time
	if !held {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		elapsed = timer.C
	}
	select {
	case <-r.changed:
	case <-elapsed:
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	return nil
}
