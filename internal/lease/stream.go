package lease

// This file is the shell of a stream; its two goroutines are duplex's. maxOutstanding bounds the
// queue of a stream.

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/duplex"
)

// streamHost is the shell's part of a stream.
type streamHost = *duplex.Pair[*pb.LeaseKeepAliveRequest, *pb.LeaseKeepAliveResponse]

// open starts st. The caller holds e.mu.
func (e *Engine) open(st *stream) {
	avoid := st.avoid
	st.host = duplex.Start(e.work, duplex.Config[*pb.LeaseKeepAliveRequest, *pb.LeaseKeepAliveResponse]{
		Open: func(ctx context.Context) (Stream, error) { return e.cfg.Open(ctx, avoid) },
		Opened: func(member string) {
			e.mu.Lock()
			e.core.opened(e.clock(), st, member)
			e.run()
		},
		Answered: func(resp *pb.LeaseKeepAliveResponse) {
			e.mu.Lock()
			e.core.answer(e.clock(), st, resp)
			e.run()
		},
		Ended: func(member string, err error) { e.failed(st, member, err) },
	})
}

// request makes a request. Some are allocated together; the receiver may keep a request. The caller
// holds e.mu.
func (e *Engine) request(id int64) *pb.LeaseKeepAliveRequest {
	if len(e.requests) == 0 {
		e.requests = make([]pb.LeaseKeepAliveRequest, requestsAtOnce)
	}
	r := &e.requests[0]
	e.requests = e.requests[1:]
	r.ID = id
	return r
}

// requestsAtOnce saves most allocations if there are many leases, and takes little memory.
const requestsAtOnce = 16

// failed reports the end of st.
func (e *Engine) failed(st *stream, member string, err error) {
	v := Retry
	if !errors.Is(err, io.EOF) { // a clean end shows nothing about the next stream
		v = e.cfg.Judge(err)
	}
	e.mu.Lock()
	if member != "" { // it may not have been known when the stream was opened
		st.member = member
	}
	e.core.failed(e.clock(), st, err, v)
	e.run()
}
