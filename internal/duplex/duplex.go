// Package duplex runs one long-lived stream with many messages in both directions: a watch stream,
// a stream of renewals. It has two goroutines. The sender opens the stream and sends the queued
// messages, in order; the reader starts once the stream is open. Both end when the stream fails or
// is closed.
//
// A slow or stuck Send holds up no caller: messages wait in a queue. The queue has no limit of its
// own; its callers must bound it.
package duplex

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/fairlead-go/fairlead/internal/worker"
)

// Stream is a stream on which Q is sent and A received, each by one goroutine.
type Stream[Q, A any] interface {
	Send(Q) error
	Recv() (A, error)
	// Member returns the endpoint of the stream, "" if unknown.
	Member() string
}

// Config says how a stream is opened and who is notified of what. All functions must be set.
type Config[Q, A any] struct {
	// Open opens the stream. ctx lives as long as the stream. It may block until ctx ends.
	Open func(ctx context.Context) (Stream[Q, A], error)
	// Opened is called once the stream is open, before anything is sent or received.
	Opened func(member string)
	// Answered is called with each answer, by one goroutine.
	Answered func(A)
	// Ended is called once with the reason why the stream ended, unless it was closed: io.EOF if
	// the server ended it without an error. member is "" if the stream could not be opened.
	Ended func(member string, err error)
}

// Pair is a stream with its two goroutines. Its methods are safe for concurrent use and do not
// block.
type Pair[Q, A any] struct {
	c      Config[Q, A]
	group  *worker.Group
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // of size 1: queue has become non-empty

	mu    sync.Mutex
	queue []Q  // guarded by mu
	ended bool // guarded by mu; both goroutines may see the stream fail
}

// Start opens a stream in the background. Its goroutines belong to g; when g stops, they end.
func Start[Q, A any](g *worker.Group, c Config[Q, A]) *Pair[Q, A] {
	p := &Pair[Q, A]{c: c, group: g, wake: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(g.Context())
	if !g.Go(p.send) {
		p.cancel()
	}
	return p
}

// Push queues a request.
func (p *Pair[Q, A]) Push(q Q) {
	p.mu.Lock()
	p.queue = append(p.queue, q)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // the sender has been woken already
	}
}

// Close ends the stream. Queued messages are not sent any more, and Ended is not called any more
// unless it has begun.
func (p *Pair[Q, A]) Close() { p.cancel() }

// take empties the queue; spare is the buffer for later messages.
func (p *Pair[Q, A]) take(spare []Q) []Q {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queue
	p.queue = spare
	return q
}

// end reports the end, unless the stream was closed or the end was reported before.
func (p *Pair[Q, A]) end(member string, err error) {
	p.mu.Lock()
	ended := p.ended || p.ctx.Err() != nil
	p.ended = true
	p.mu.Unlock()
	if !ended {
		p.c.Ended(member, err)
	}
}

// send is the sender goroutine.
func (p *Pair[Q, A]) send(context.Context) {
	defer p.cancel()
	s, err := p.c.Open(p.ctx)
	if err != nil {
		p.end("", err)
		return
	}
	p.c.Opened(s.Member())
	if !p.group.Go(func(context.Context) { p.receive(s) }) {
		return
	}
	var spare []Q
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		}
		batch := p.take(spare)
		for _, q := range batch {
			if err := s.Send(q); errors.Is(err, io.EOF) {
				<-p.ctx.Done() // the stream is broken; Recv has the reason
				return
			} else if err != nil {
				p.end(s.Member(), err)
				return
			}
		}
		clear(batch)
		spare = batch[:0]
	}
}

// receive is the reader goroutine.
func (p *Pair[Q, A]) receive(s Stream[Q, A]) {
	defer p.cancel()
	for {
		a, err := s.Recv()
		if err != nil {
			p.end(s.Member(), err)
			return
		}
		p.c.Answered(a)
	}
}
