// Package duplex runs one stream on which much is sent and received for long: a watch stream,
// a stream of renewals. It has two goroutines. The sender opens the stream and sends what was
// queued, in order; the reader starts once the stream is open. Both end when the stream fails
// or is closed.
//
// A slow or stuck Send holds up nobody else: what is to be sent waits in a queue. The queue has
// no limit of its own; whoever fills it bounds it.
package duplex

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/fairlead-go/fairlead/internal/worker"
)

// Stream is what a Pair needs of a stream that it received A from.
type Stream[A any] interface {
	Recv() (A, error)
	// Member is the endpoint that the stream runs on, "" if unknown.
	Member() string
}

// Config says how a stream S is opened, what is done with the requests Q that were queued for
// it, and who is told of answers A. All functions must be set.
type Config[S Stream[A], Q, A any] struct {
	// Open opens the stream. ctx lives as long as the stream. It may block until ctx ends.
	Open func(ctx context.Context) (S, error)
	// Send sends requests in order, and stops at the first error.
	Send func(S, []Q) error
	// Opened is told once that the stream is open, before anything is sent or received.
	Opened func(member string)
	// Answered is told of each answer, by one goroutine.
	Answered func(A)
	// Ended is told once why the stream ended, unless it was closed: io.EOF if the server ended
	// it without an error. member is "" if the stream could not be opened.
	Ended func(member string, err error)
}

// Pair is a stream with its two goroutines. Its methods are safe for concurrent use and do not
// block.
type Pair[Q any] struct {
	cancel context.CancelFunc
	wake   chan struct{} // of size 1: queue has become non-empty

	mu    sync.Mutex
	queue []Q // guarded by mu

	ended sync.Once // both goroutines may see the stream fail
}

// Start opens a stream in the background. Its goroutines belong to g; when g stops, they end.
func Start[S Stream[A], Q, A any](g *worker.Group, c Config[S, Q, A]) *Pair[Q] {
	ctx, cancel := context.WithCancel(g.Context())
	p := &Pair[Q]{cancel: cancel, wake: make(chan struct{}, 1)}
	if !g.Go(func(context.Context) { send(ctx, g, p, c) }) {
		cancel()
	}
	return p
}

// Push queues a request.
func (p *Pair[Q]) Push(q Q) {
	p.mu.Lock()
	p.queue = append(p.queue, q)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // the sender has been woken already
	}
}

// Close ends the stream. What is still queued is not sent, and Ended is not called any more
// unless it has begun.
func (p *Pair[Q]) Close() { p.cancel() }

// take empties the queue; spare is used for what comes.
func (p *Pair[Q]) take(spare []Q) []Q {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queue
	p.queue = spare
	return q
}

// end tells of the end, unless the stream was closed or it was told before.
func (p *Pair[Q]) end(ctx context.Context, tell func()) {
	if ctx.Err() == nil {
		p.ended.Do(tell)
	}
}

// send is the sender goroutine.
func send[S Stream[A], Q, A any](ctx context.Context, g *worker.Group, p *Pair[Q], c Config[S, Q, A]) {
	defer p.cancel()
	s, err := c.Open(ctx)
	if err != nil {
		p.end(ctx, func() { c.Ended("", err) })
		return
	}
	c.Opened(s.Member())
	if !g.Go(func(context.Context) { receive(ctx, p, s, c) }) {
		return
	}
	var spare []Q
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		batch := p.take(spare)
		if err := c.Send(s, batch); errors.Is(err, io.EOF) {
			<-ctx.Done() // the stream is broken; Recv has the reason
			return
		} else if err != nil {
			p.end(ctx, func() { c.Ended(s.Member(), err) })
			return
		}
		clear(batch)
		spare = batch[:0]
	}
}

// receive is the reader goroutine.
func receive[S Stream[A], Q, A any](ctx context.Context, p *Pair[Q], s S, c Config[S, Q, A]) {
	defer p.cancel()
	for {
		a, err := s.Recv()
		if err != nil {
			p.end(ctx, func() { c.Ended(s.Member(), err) })
			return
		}
		c.Answered(a)
	}
}
