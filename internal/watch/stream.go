package watch

// The shell of a stream, whose two goroutines are duplex's. The number of its watchers bounds the
// requests that are queued.

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/duplex"
)

// streamHost is the shell's part of a stream.
type streamHost = *duplex.Pair[*pb.WatchRequest, *pb.WatchResponse]

// open starts st. The caller holds e.mu.
func (e *Engine) open(st *stream) {
	o := OpenOptions{Group: st.g.name, RequireLeader: st.guarded, Avoid: st.avoid}
	var connected time.Time
	st.host = duplex.Start(e.work, duplex.Config[*pb.WatchRequest, *pb.WatchResponse]{
		Open: func(ctx context.Context) (Stream, error) {
			s, err := e.cfg.Open(ctx, o)
			if c, knows := s.(interface{ Connected() time.Time }); err == nil && knows {
				connected = c.Connected()
			}
			return s, err
		},
		Opened: func(member string) { // by the goroutine of Open, after it
			e.lock()
			e.core.opened(time.Now(), st, member, connected)
			e.run()
		},
		Answered: func(resp *pb.WatchResponse) { e.answered(st, resp) },
		Ended:    func(member string, err error) { e.broken(st, member, err) },
	})
}

// answered passes on a response.
func (e *Engine) answered(st *stream, resp *pb.WatchResponse) {
	var cerr error
	v := Fatal
	if reason := resp.GetCancelReason(); reason != "" {
		v, cerr = e.cfg.Cancelled(reason)
	}
	e.lock()
	e.core.response(time.Now(), st, resp, cerr, v)
	e.run()
}

// broken reports the end of st.
func (e *Engine) broken(st *stream, member string, err error) {
	v := Retry
	if !errors.Is(err, io.EOF) { // a clean end says nothing about the next stream
		v = e.cfg.Judge(err)
	}
	e.lock()
	if member != "" { // it may not have been known when the stream was opened
		st.member = member
	}
	e.core.broken(time.Now(), st, err, v)
	e.run()
}
