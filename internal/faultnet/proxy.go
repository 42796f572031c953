package faultnet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds dialing the target. A target on loopback accepts or refuses at once. A stopped
// process whose accept queue is full does not answer at all, and a connection to it must not
// outlive a test.
const dialTimeout = 10 * time.Second

// Direction names one or both ways through a proxy.
type Direction uint8

const (
	ToServer Direction = 1 << iota // from the client to the server
	ToClient                       // from the server to the client

	Both = ToServer | ToClient
)

// Proxy passes TCP connections on to one target and injects faults on command.
//
// Each connection has up to five goroutines: one that dials the target and waits for the end, and
// per direction a reader and a writer with a short queue between them. The queue lets a delay shift
// bytes in time without costing throughput. The goroutines read the faults from a snapshot (type
// rules), which is replaced and never changed. It has a channel that announces its replacement.
//
// All methods may be called from several goroutines, also after Close.
type Proxy struct {
	target string
	port   *Port // nil if made by NewDetached

	accepted, toServer, toClient atomic.Int64

	// Guards rules, the listener and conns, which change together: when a method that sets a fault
	// returns, the fault applies to every connection.
	mu       sync.Mutex
	rules    *rules
	listener net.Listener // nil while connections are refused, and after Close
	conns    map[*conn]struct{}
	closed   bool

	wg sync.WaitGroup // accept loops and connections
}

// rules is one state of the network. It never changes; only its channel changed is closed.
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

// New starts a proxy on a free port of 127.0.0.1 in front of target ("host:port"). The proxy dials
// the target for each connection, so the target need not be there yet. Close ends the proxy.
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

// NewDetached makes a proxy without a listener. Callers accept connections themselves, choose a
// proxy for each, and pass it to that proxy's Handle. Addr is empty.
func NewDetached(target string) *Proxy {
	return &Proxy{
		target: target,
		rules:  &rules{changed: make(chan struct{})},
		conns:  map[*conn]struct{}{},
	}
}

// Addr is the address that clients connect to, "127.0.0.1:port". It stays the same through all
// faults.
func (p *Proxy) Addr() string {
	if p.port == nil {
		return ""
	}
	return p.port.Addr()
}

// Target is the address that the proxy connects to.
func (p *Proxy) Target() string { return p.target }

// Stats counts connections and bytes since the proxy started.
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

// Close ends the listener and every connection, waits for all goroutines, and releases the port.
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
			continue // the connection ended before it was accepted, or file descriptors are short for a moment
		}
		p.Handle(c)
	}
}

// Handle passes an accepted connection through the proxy, which owns it from then on. It returns at
// once. While the proxy refuses connections, and after Close, it resets the connection.
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
