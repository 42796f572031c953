package lease

// The life of one stream in the shell. Its sender goroutine opens it and then sends
// what the core asked for, in order; its reader goroutine starts once the stream is
// open. Both end when the stream's context ends or the stream fails. A stuck Send
// holds up nobody else: ids wait in streamHost.out, which maxOutstanding bounds.

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// streamHost is the shell's part of a stream.
type streamHost struct {
	cancel context.CancelFunc
	wake   chan struct{} // of size 1: out has become non-empty
	out    []int64       // guarded by Engine.mu
}

// push queues a renewal. The caller holds Engine.mu.
func (h *streamHost) push(id int64) {
	h.out = append(h.out, id)
	select {
	case h.wake <- struct{}{}:
	default: // the sender has been woken already
	}
}

// open starts st. The caller holds e.mu.
func (e *Engine) open(st *stream) {
	ctx, cancel := context.WithCancel(e.work.Context())
	st.host.cancel = cancel
	st.host.wake = make(chan struct{}, 1)
	if !e.work.Go(func(context.Context) { e.send(ctx, st) }) {
		cancel()
	}
}

// send is the sender goroutine.
func (e *Engine) send(ctx context.Context, st *stream) {
	defer st.host.cancel()
	s, err := e.cfg.Open(ctx, st.avoid)
	if err != nil {
		e.failed(ctx, st, nil, err)
		return
	}
	member := s.Member()
	e.mu.Lock()
	e.core.opened(e.clock(), st, member)
	e.run()
	if !e.work.Go(func(context.Context) { e.receive(ctx, st, s) }) {
		return
	}
	var spare []int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-st.host.wake:
		}
		e.mu.Lock()
		batch := st.host.out
		st.host.out = spare
		e.mu.Unlock()
		reqs := make([]pb.LeaseKeepAliveRequest, len(batch)) // whoever is given one may keep it
		for i, id := range batch {
			reqs[i].ID = id
			if err := s.Send(&reqs[i]); errors.Is(err, io.EOF) {
				<-ctx.Done() // the stream is broken; Recv has the reason
				return
			} else if err != nil {
				e.failed(ctx, st, s, err)
				return
			}
		}
		spare = batch[:0]
	}
}

// receive is the reader goroutine.
func (e *Engine) receive(ctx context.Context, st *stream, s Stream) {
	defer st.host.cancel()
	for {
		resp, err := s.Recv()
		if err != nil {
			e.failed(ctx, st, s, err)
			return
		}
		e.mu.Lock()
		e.core.answer(e.clock(), st, resp)
		e.run()
	}
}

// failed reports the end of st. s is nil when it could not be opened.
func (e *Engine) failed(ctx context.Context, st *stream, s Stream, err error) {
	if ctx.Err() != nil {
		return // ended by us
	}
	v := Retry
	if !errors.Is(err, io.EOF) { // a clean end says nothing about the next stream
		v = e.cfg.Judge(err)
	}
	member := ""
	if s != nil {
		member = s.Member() // it may not have been known when the stream was opened
	}
	e.mu.Lock()
	if member != "" {
		st.member = member
	}
	e.core.failed(e.clock(), st, err, v)
	e.run()
}
