package leasing

// Sessions, one after the other, since each may be lost.

import (
	"context"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

// newSession is the wait between two tries to make a session.
var newSession = backoff.Policy{Base: 50 * time.Millisecond, Max: 2 * time.Second}

// tenure is the time of one session. All owned keys belong to the same tenure.
type tenure struct {
	s     *concurrency.Session
	lease v3.LeaseID
	until atomic.Int64  // time since leasing.epoch; the lease is certainly held before it
	gone  chan struct{} // capacity 1; a server said that the lease does not exist
	// latest is guarded by leasing.mu: the newest header of any answer to this KV in the history
	// latestIn. All owned keys of that history without a write under way have the value of that
	// revision. Answers from memory carry this header, so that their revisions do not go back.
	latest   *pb.ResponseHeader
	latestIn history

	doubts   atomic.Uint64 // signs of another history, see history
	renewals <-chan *v3.LeaseKeepAliveResponse

	// Used by serve, all as of the last renewal; 0 before the first.
	ear     relapse.Ear
	streams uint64
	seen    int64 // the revision of latest
}

// saw notes the header of an answer to a request that was sent in a history. The caller holds
// leasing.mu.
func (t *tenure) saw(header *pb.ResponseHeader, in history) {
	if in > t.latestIn || in == t.latestIn && header.GetRevision() > t.latest.GetRevision() {
		t.latest, t.latestIn = header, in
	}
}

func newTenure(cl *v3.Client, s *concurrency.Session) *tenure {
	t := &tenure{s: s, lease: s.Lease(), gone: make(chan struct{}, 1)}
	t.renewals, _ = cl.KeepAlive(relapse.Owner(s.Ctx()), t.lease) // the session's are for itself
	return t
}

// valid reports whether the lease certainly existed until now. Then all that was read from memory
// before the call was current when it was read. valid reads the clock; it asks the session only
// when the time that the session gave last has passed.
func (l *leasing) valid(t *tenure) bool {
	if time.Since(l.epoch) < time.Duration(t.until.Load()) {
		return true
	}
	until := t.s.ValidUntil()
	if until.IsZero() {
		return false
	}
	d := until.Sub(l.epoch)
	t.until.Store(int64(d))
	return time.Since(l.epoch) < d
}

// serve ends the tenure when its session ends, and begins another one.
func (l *leasing) serve(ctx context.Context, cl *v3.Client, opts []concurrency.SessionOption) {
	// A lease of WithLease ends with the first session.
	opts = append(opts[:len(opts):len(opts)], concurrency.WithLease(v3.NoLease), concurrency.WithUntil(ctx))
	for {
		l.mu.RLock()
		t := l.term
		l.mu.RUnlock()
		if t == nil {
			return // closed
		}
		gone, over := false, false
		for renewals := t.renewals; !gone && !over; {
			select {
			case r, ok := <-renewals:
				if ok {
					l.renewed(t, r.ResponseHeader)
				} else {
					renewals = nil
				}
			case <-t.s.Done():
				over = true
			case <-t.gone:
				gone = true
			case <-ctx.Done():
				t.s.Orphan() // close revokes the lease, unless it is gone
				return
			}
		}
		l.mu.Lock()
		l.forfeit()
		l.mu.Unlock()
		t.s.Orphan()
		if cause := context.Cause(t.s.Ctx()); !gone && cause != concurrency.ErrSessionExpired {
			giveUp(t.s) // since the caller's context ended, or the client was closed
			return
		}
		s := l.renew(ctx, cl, opts)
		if s == nil {
			return
		}
		l.mu.Lock()
		closed := l.closed
		if !closed {
			l.term = newTenure(cl, s)
		}
		l.mu.Unlock()
		if closed {
			giveUp(s)
			return
		}
	}
}

// renew makes a new session as soon as the cluster answers; nil if ctx ends first.
func (l *leasing) renew(ctx context.Context, cl *v3.Client, opts []concurrency.SessionOption) *concurrency.Session {
	for n := 0; ; n++ {
		if s, err := concurrency.NewSession(cl, opts...); err == nil {
			return s
		}
		if backoff.Sleep(ctx, newSession.Wait(n)) != nil {
			return nil
		}
	}
}

// forfeit ends the tenure, after which this process owns no key. It returns the tenure, nil if
// there was none. The caller holds mu.
func (l *leasing) forfeit() *tenure {
	t := l.term
	l.term = nil
	clear(l.owned)
	l.bytes = 0
	clear(l.leaving) // gone with the lease
	return t
}

// giveUp ends a session and revokes its lease. It waits only briefly: if the cluster does not
// answer, the lease expires.
func giveUp(s *concurrency.Session) {
	s.Orphan()
	ctx, cancel := context.WithTimeout(s.Client().Ctx(), closeFor)
	defer cancel()
	_, _ = s.Client().Revoke(ctx, s.Lease())
}
