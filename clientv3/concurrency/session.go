package concurrency

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/relapse"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// defaultSessionTTL is in seconds.
const defaultSessionTTL = 60

// errOrphaned is the cause of a session's end by its owner.
var errOrphaned = errors.New("concurrency: the session was closed or orphaned")

// Session is a lease that is kept alive, with the keys that its owner holds under it. It is safe
// for concurrent use. Its goroutines (one for the session, one for each key held or cleaned up) end
// with [Session.Close]; [Session.Orphan] leaves those that still have work.
//
// It ends in one of two ways: either its renewals end, and the lease is left to itself, or the
// lease ends, and the renewals with it. Work that needs only the lease goes on until the lease
// ends.
type Session struct {
	client   *v3.Client
	id       v3.LeaseID
	ttl      time.Duration   // as asked for; bounds Close
	base     context.Context // of the options
	ctx      context.Context // ends with the renewals
	end      context.CancelCauseFunc
	life     context.Context // ends when the lease may have, with Close and with the client
	expire   context.CancelCauseFunc
	distinct bool
	renewals *worker.Group // one goroutine, in ctx
	group    *worker.Group // in life

	mu      sync.Mutex
	slots   map[string]*slot   // guarded by mu; keys with something to know about
	doubts  int                // guarded by mu; of the history, not looked into yet
	blind   sync.Once          // logs that keys cannot be seen
	over    relapse.Ended      // guarded by mu; keys about which there is no more
	working int                // guarded by mu; goroutines of group, without the minder
	until   time.Time          // guarded by mu; the lease exists until then unless it is revoked; zero: not known
	unmind  context.CancelFunc // guarded by mu; ends the minder; nil: there is none
}

// NewSession makes a lease, unless the options bring one, and keeps it alive. Without
// [WithContext] it waits for the cluster as long as the client lives.
func NewSession(client *v3.Client, opts ...SessionOption) (*Session, error) {
	o := sessionOptions{ttl: defaultSessionTTL, ctx: client.Ctx()}
	for _, opt := range opts {
		opt(&o, client.GetLogger())
	}
	ctx, end := context.WithCancelCause(o.ctx)
	if o.until != nil {
		if o.until.Err() != nil {
			end(context.Cause(o.until)) // at once, not at some time while the lease is made
		}
		forget := context.AfterFunc(o.until, func() { end(context.Cause(o.until)) })
		context.AfterFunc(ctx, func() { forget() })
	}
	id := o.leaseID
	if id == v3.NoLease {
		g, err := client.Grant(ctx, int64(o.ttl))
		if err != nil {
			end(err)
			return nil, err
		}
		id = g.ID
	}
	renewals, err := client.KeepAlive(relapse.Owner(ctx), id)
	if err != nil || renewals == nil {
		end(err)
		return nil, err
	}
	// The life of a session that is left alone must not depend on the client's for ever.
	life, expire := context.WithCancelCause(context.Background())
	s := &Session{
		client: client, id: id, ttl: time.Duration(o.ttl) * time.Second, base: o.ctx, distinct: o.distinct,
		ctx: ctx, end: end, life: life, expire: expire,
		renewals: worker.New(ctx), group: worker.New(life), slots: make(map[string]*slot),
	}
	s.renewals.Go(func(context.Context) { s.follow(renewals) })
	return s, nil
}

// follow reads the renewals until they end, and decides what their end means.
func (s *Session) follow(renewals <-chan *v3.LeaseKeepAliveResponse) {
	var ear relapse.Ear
	for r := range renewals {
		if ear.Hear(r.ResponseHeader, s.client.Lease, s.newestEnded()) {
			s.mayRelapse()
		}
		if until, ok := v3.LeaseValidUntil(s.client.Lease, s.id); ok {
			s.exists(until)
		}
	}
	switch {
	case s.client.Ctx().Err() != nil:
		s.end(context.Cause(s.client.Ctx()))
		s.expire(context.Cause(s.client.Ctx()))
	case s.ctx.Err() == nil:
		s.lost()
	default: // Orphan, or a context of the options
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mind()
	}
}

// lost ends the session because its lease is gone, or may be gone.
func (s *Session) lost() {
	s.end(ErrSessionExpired)
	s.expire(ErrSessionExpired)
}

// Client returns the client that the session was made with.
func (s *Session) Client() *v3.Client { return s.client }

// Lease returns the session's lease, for keys that should end with the session.
func (s *Session) Lease() v3.LeaseID { return s.id }

// Ctx returns a context that ends with the session. context.Cause gives the reason:
// [ErrSessionExpired] if the lease was lost.
func (s *Session) Ctx() context.Context { return s.ctx }

// Done returns a channel that is closed when the lease is lost or no longer renewed: before the
// server could give its keys to another owner. While the session holds a lock or candidates, it is
// closed within one round trip and 50 ms of a revocation; otherwise at the next renewal, a third of
// the TTL away at most.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// ValidUntil returns the time, by the monotonic clock, until which the session's lease certainly
// exists, unless it is revoked; each acknowledged renewal moves it on. It is zero when the session
// has ended, before the first acknowledgement, and with a client whose Lease does not know it. A
// goroutine closes Done at that time; it is late if the process was paused. See
// [v3.LeaseValidUntil] for what to do about that.
func (s *Session) ValidUntil() time.Time {
	if s.ctx.Err() != nil {
		return time.Time{}
	}
	until, _ := v3.LeaseValidUntil(s.client.Lease, s.id)
	return until
}

// Orphan ends the renewals and leaves the lease to itself: another session may hold it, or it
// expires. Until the lease ends, calls under way and new ones are served as before, and keys that
// must go are cleaned up. Ownerships end for this process: their Context ends, though their keys
// stay and can be released. An ownership that begins later lasts as long as the lease.
func (s *Session) Orphan() {
	s.end(errOrphaned)
	s.renewals.Stop()
}

// Close ends the session and revokes the lease, which deletes its keys. It gives up after the TTL,
// since the lease has expired by then, or when the context of [WithContext] ends.
func (s *Session) Close() error { return s.CloseContext(s.base) }

// CloseContext is [Session.Close] that also gives up when ctx ends, with the context's error. Then
// too the session has ended, and its keys stay until the lease expires. It works even after the
// context of [WithContext] has ended.
func (s *Session) CloseContext(ctx context.Context) error {
	s.Orphan()
	s.expire(errOrphaned)
	s.group.Stop()
	ctx, cancel := context.WithTimeout(ctx, s.ttl)
	defer cancel()
	_, err := s.client.Revoke(ctx, s.id)
	return err
}

// failed looks at the error of a request that used the lease.
func (s *Session) failed(err error) {
	if v3.SameError(err, rpctypes.ErrLeaseNotFound) {
		s.lost()
	}
}

type sessionOptions struct {
	ttl      int
	leaseID  v3.LeaseID
	ctx      context.Context
	until    context.Context // nil: none
	distinct bool
}

// SessionOption changes how [NewSession] makes a session.
type SessionOption func(*sessionOptions, *zap.Logger)

// WithTTL sets the time to live of the session's lease, in seconds: how long its keys stay after
// the death of the process. The server may choose a longer one, and none above
// [v3.MaxLeaseTTL]. Values below 1 leave the default of 60 and log a warning.
func WithTTL(ttl int) SessionOption {
	return func(o *sessionOptions, log *zap.Logger) {
		if ttl <= 0 {
			if log != nil {
				log.Warn(
					"a session's TTL must be positive; the default stays",
					zap.Int("asked-for", ttl),
					zap.Int("ttl", o.ttl),
				)
			}
			return
		}
		o.ttl = ttl
	}
}

// WithLease makes the session use an existing lease, for instance that of an earlier run of this
// process whose leadership it takes up again.
func WithLease(leaseID v3.LeaseID) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.leaseID = leaseID }
}

// WithContext bounds [NewSession], [Session.Close] and the renewals by a context instead of the
// client's. When it ends, the session is orphaned, see [Session.Orphan].
func WithContext(ctx context.Context) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.ctx = ctx }
}

// WithUntil ends [NewSession] and the renewals when ctx ends, besides the context of [WithContext]
// or the client's, which still bounds [Session.Close]: for callers that make sessions with the
// options of others.
func WithUntil(ctx context.Context) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.until = ctx }
}

// WithDistinctOwners makes each [Mutex] and [Election] of the session an owner of its own: two of
// the same prefix exclude each other. Otherwise they share a key, and both own.
func WithDistinctOwners() SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.distinct = true }
}
