package faultnet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds the connection to the target. A loopback target answers or refuses at once;
// one whose accept queue is full (a stopped process) does not answer at all, and a proxied
// connection to it must not outlive a test.
const dialTimeout = 10 * time.Second

// Direction names one or both ways through a proxy.
type Direction uint8

const (
	ToServer Direction = 1 << iota // what the client sends
	ToClient                       // what the server answers

	Both = ToServer | ToClient
)

// Proxy passes TCP connections on to one target and injects faults on command.
//
// Each connection owns three goroutines or more: one that dials the target and waits for the end,
// and per direction a reader and a writer with a short queue between them, so that a delay shifts
// bytes in time without costing throughput. They look up the faults in one snapshot (type rules)
// that is replaced, never changed, and announces its replacement.
//
// All methods may be called from several goroutines, also after Close.
type Proxy struct {
	target string
	port   *Port // nil if made by NewDetached

	accepted, toServer, toClient atomic.Int64

	// Held for writing while rules, the listener and conns change together, so that a fault is in
	// force for every connection when the method that sets it returns.
	mu       sync.Mutex
	rules    *rules
	listener net.Listener // nil while connections are refused, and after Close
	conns    map[*conn]struct{}
	closed   bool

	wg sync.WaitGroup // accept loops and connections
}

// rules is one state of the network. It is immutable but for the closing of changed.
type rules struct {
	refuse  bool
	held    Direction        // directions in which nothing passes
	delay   [2]time.Duration // by Direction.index
	rate    [2]int           // bytes per second, 0 for no limit
	changed chan struct{}    // closed when other rules replace these
}

func (d Direction) index() int {
	if d == ToServer {
		return 0
	}
	return 1
}

// New starts a proxy on a free port of 127.0.0.1 in front of target ("host:port"). The target is
// dialled anew for each connection and need not be there yet. Close the proxy to end it.
func New(target string) (*Proxy, error) {
	port, err := HoldPort()
	if err != nil {
		return nil, err
	}
	p := NewDetached(target)
	p.port = port
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listenLocked(); err != nil {
		port.Release()
		return nil, err
	}
	return p, nil
}

// NewDetached makes a proxy without a listener, for callers that accept connections themselves and
// choose a proxy for each: they pass them to Handle. Its Addr is empty.
func NewDetached(target string) *Proxy {
	return &Proxy{
		target: target,
		rules:  &rules{changed: make(chan struct{})},
		conns:  map[*conn]struct{}{},
	}
}

// Addr is where clients connect, "127.0.0.1:port". It stays the same through all faults.
func (p *Proxy) Addr() string {
	if p.port == nil {
		return ""
	}
	return p.port.Addr()
}

// Target is what the proxy connects to.
func (p *Proxy) Target() string { return p.target }

// Stats counts what went through a proxy since it started.
type Stats struct {
	Accepted int64 // connections taken from clients
	Open     int   // connections now
	ToServer int64 // bytes delivered to the target
	ToClient int64 // bytes delivered to clients
}

// Stats returns the counters.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	open := len(p.conns)
	p.mu.Unlock()
	return Stats{Accepted: p.accepted.Load(), Open: open, ToServer: p.toServer.Load(), ToClient: p.toClient.Load()}
}

// Close ends the listener and every connection, waits for all goroutines, and gives the port back.
// Closing twice is harmless.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.unlistenLocked()
	for c := range p.conns {
		c.abort(nil)
	}
	p.mu.Unlock()
	p.wg.Wait()
	if p.port != nil {
		p.port.Release()
	}
	return nil
}

func (p *Proxy) listenLocked() error {
	if p.closed || p.listener != nil || p.port == nil {
		return nil
	}
	l, err := p.port.Listen()
	if err != nil {
		return fmt.Errorf("faultnet: listen: %w", err)
	}
	p.listener = l
	p.wg.Add(1)
	go p.acceptLoop(l)
	return nil
}

func (p *Proxy) unlistenLocked() {
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

func (p *Proxy) acceptLoop(l net.Listener) {
	defer p.wg.Done()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the connection was gone before we took it, or we are short of descriptors for a moment
		}
		p.Handle(c)
	}
}

// Handle passes an accepted connection through the proxy and owns it from then on. It does not
// wait. While the proxy refuses connections, and after Close, it resets the connection.
func (p *Proxy) Handle(client net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.rules.refuse {
		reset(client)
		return
	}
	p.accepted.Add(1)
	c := newConn(p, client)
	p.conns[c] = struct{}{}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		c.run()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
}

func (p *Proxy) current() *rules {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules
}
