package lease

// What the shell does with a stream; its two goroutines are duplex's. What is queued for one is
// bounded by maxOutstanding.

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/duplex"
)

// streamHost is the shell's part of a stream.
type streamHost = *duplex.Pair[int64]

// open starts st. The caller holds e.mu.
func (e *Engine) open(st *stream) {
	avoid := st.avoid
	st.host = duplex.Start(e.work, duplex.Config[Stream, int64, *pb.LeaseKeepAliveResponse]{
		Open: func(ctx context.Context) (Stream, error) { return e.cfg.Open(ctx, avoid) },
		Send: sendAll,
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

// sendAll sends renewals, whose requests are allocated together.
func sendAll(s Stream, ids []int64) error {
	reqs := make([]pb.LeaseKeepAliveRequest, len(ids)) // whoever is given one may keep it
	for i, id := range ids {
		reqs[i].ID = id
		if err := s.Send(&reqs[i]); err != nil {
			return err
		}
	}
	return nil
}

// failed reports the end of st.
func (e *Engine) failed(st *stream, member string, err error) {
	v := Retry
	if !errors.Is(err, io.EOF) { // a clean end says nothing about the next stream
		v = e.cfg.Judge(err)
	}
	e.mu.Lock()
	if member != "" { // it may not have been known when the stream was opened
		st.member = member
	}
	e.core.failed(e.clock(), st, err, v)
	e.run()
}
