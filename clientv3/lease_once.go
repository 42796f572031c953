package clientv3

import (
	"context"
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/retry"
)

const (
	// onceTry is how long the first member may take to renew a lease before another one is asked
	// too. It doubles with each further one, as the way may be long. All are listened to.
	onceTry = time.Second

	// onceTries bounds how many are asked.
	onceTries = retry.DefaultMaxRetries + 1
)

// onceAnswer is what came of asking one member.
type onceAnswer struct {
	_      [0]func() // not comparable, see balancer.conn
	resp   *pb.LeaseKeepAliveResponse
	member string // "" if there was none to ask
	err    error
}

func (l *lessor) KeepAliveOnce(ctx context.Context, id LeaseID) (*LeaseKeepAliveResponse, error) {
	if ctx == nil {
		return nil, errNilContext("Lease.LeaseKeepAlive")
	}
	l.reaper.forget(int64(id))
	tries, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	answers := make(chan onceAnswer, onceTries)
	asked := make(chan string, onceTries) // members that are being asked, as soon as that is known
	begun, open := 0, 0
	var avoid []string
	patience := onceTry
	late := time.NewTimer(patience)
	defer late.Stop()
	wait := backoff.Policy{Base: retry.DefaultWaitBase, Max: retry.DefaultWaitMax}
	for ask := true; ; {
		if ask {
			for more := true; more; {
				select {
				case m := <-asked:
					avoid = append(avoid, m)
				default:
					more = false
				}
			}
			ask = false
			begun++
			open++
			o := retry.StreamOptions{Avoid: append([]string(nil), avoid...)}
			running.Go(func() { answers <- l.renewOnce(tries, id, o, asked) })
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			if begun < onceTries {
				ask = true
				patience *= 2
				late.Reset(patience)
			}
		case a := <-answers:
			open--
			switch {
			case a.err == nil && a.resp.TTL <= 0:
				return nil, rpctypes.ErrLeaseNotFound
			case a.err == nil:
				return &LeaseKeepAliveResponse{
					ResponseHeader: a.resp.Header,
					ID:             LeaseID(a.resp.ID),
					TTL:            a.resp.TTL,
				}, nil
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case open > 0 && l.c.streamRetryable(a.err):
				// Others are still under way.
			case !l.c.streamRetryable(a.err) || begun >= onceTries || a.member == "":
				return nil, a.err
			default:
				if err := backoff.Sleep(ctx, wait.Wait(begun-1)); err != nil {
					return nil, err
				}
				ask = true
				late.Reset(patience)
			}
		}
	}
}

// renewOnce asks one member, whose name it passes on.
func (l *lessor) renewOnce(ctx context.Context, id LeaseID, o retry.StreamOptions, asked chan<- string) onceAnswer {
	ctx, cancel := context.WithCancel(retry.WithStreamOptions(ctx, o))
	defer cancel()
	s, err := l.remote.LeaseKeepAlive(ctx, l.callOpt...)
	if err != nil {
		return onceAnswer{err: ContextError(ctx, err)}
	}
	member := retry.StreamOf(s).Member()
	if member != "" {
		asked <- member // there is room for everybody who is asked
	}
	if err := s.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil && err != io.EOF {
		return onceAnswer{member: member, err: ContextError(ctx, err)}
	}
	r, err := s.Recv()
	switch {
	case err == io.EOF:
		err = streamEnded("Lease.LeaseKeepAlive")
	case err != nil:
		err = ContextError(ctx, err)
	}
	return onceAnswer{resp: r, member: member, err: err}
}
