package retry

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// answers is the stream of answers to one request: a snapshot, a range. All such requests only
// read, so until the first message has come the stream is started again whenever a read would be
// repeated. After that only its reader can continue it, since only the reader knows where.
type answers struct {
	k    call // the attempts so far, and their members
	desc *grpc.StreamDesc
	now  atomic.Pointer[Stream] // replaced by RecvMsg
	// Only one goroutine at a time uses these, as gRPC requires of its callers.
	began time.Time
	begun bool // a message has come
}

func (c *Conn) newAnswers(
	ctx context.Context,
	desc *grpc.StreamDesc,
	method string,
	opts []grpc.CallOption,
) (grpc.ClientStream, error) {
	a := &answers{desc: desc, k: call{c: c, ctx: ctx, method: method, opts: opts, plan: plan{kind: read}}}
	c.retries.call()
	if err := a.open(); err != nil {
		return nil, err
	}
	return a, nil
}

// open starts the stream, if possible on a member that has not failed it.
func (a *answers) open() error {
	var o StreamOptions
	if asked, _ := a.k.ctx.Value(streamKey).(*StreamOptions); asked != nil {
		o = *asked
		o.Avoid = slices.Clone(o.Avoid)
	}
	for _, t := range a.k.tried {
		o.Avoid = append(o.Avoid, t.Member)
	}
	a.began = time.Now()
	s, err := a.k.c.openStream(WithStreamOptions(a.k.ctx, o), a.desc, a.k.method, a.k.opts...)
	if err == nil {
		a.now.Store(s)
	}
	return err
}

// SendMsg sends the request, and keeps it for a repetition.
func (a *answers) SendMsg(m any) error {
	a.k.req = m
	s := a.now.Load()
	err := s.SendMsg(m)
	if err != nil && err != io.EOF { // the stream has no reader
		s.Close()
	}
	return err
}

// RecvMsg does the same as Stream's.
func (a *answers) RecvMsg(m any) error {
	for {
		err := a.now.Load().RecvMsg(m)
		if err == nil || err == io.EOF || a.begun {
			a.begun = true
			return err
		}
		if err = a.again(err); err != nil {
			return a.k.fail(err)
		}
	}
}

// again starts the stream once more after err, or returns the error that ends it.
func (a *answers) again(err error) error {
	k := &a.k
	s := a.now.Load()
	if m := s.pick.Got; m != nil {
		k.avoid |= m.Slot()
	}
	k.tried = append(k.tried, etcderr.Attempt{Member: s.Member(), Err: bare(err), Took: time.Since(a.began)})
	wait, more := k.judge(err, k.failures)
	if !more {
		return err
	}
	k.failures++
	if err := backoff.Sleep(k.ctx, wait); err != nil {
		return err
	}
	if err := a.open(); err != nil {
		return err
	}
	s = a.now.Load()
	// Errors of these calls are also returned by the next RecvMsg.
	if s.SendMsg(k.req) == nil {
		_ = s.CloseSend()
	}
	return nil
}

// bare returns the reason why a stream failed, without the call and the member, which the stream
// has added.
func bare(err error) error {
	if e, ours := err.(*etcderr.Error); ours && len(e.Tried) == 1 && e.Tried[0].Err != nil {
		return e.Tried[0].Err
	}
	return err
}

// The other methods of grpc.ClientStream are those of the present stream.

func (a *answers) Header() (metadata.MD, error) { return a.now.Load().Header() }
func (a *answers) Trailer() metadata.MD         { return a.now.Load().Trailer() }
func (a *answers) Context() context.Context     { return a.now.Load().Context() }
func (a *answers) CloseSend() error             { return a.now.Load().CloseSend() }
