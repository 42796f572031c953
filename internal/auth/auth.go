// Package auth keeps the client's authentication token.
//
// There is at most one refresh under way for a whole client. A caller that finds its token expired
// invalidates the refused token, which does nothing if a newer one exists already; a caller that
// needs a token waits for the refresh under way. The refresh runs on its own, so a caller whose
// context ends stops waiting without cancelling the refresh for the others. A refresh that no
// server answers is given up after a while and started again for the callers that still wait.
//
// Keeper owns one goroutine, and only while a refresh is under way.
package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// refreshTimeout bounds one refresh. Authenticating hashes the password on the
// server with bcrypt, which takes about 100 ms, and needs a quorum.
const refreshTimeout = 10 * time.Second

// Token is one token; tokens are compared by identity.
type Token struct {
	Value    string
	Asked    time.Time         // when it was asked for; the server made it later
	metadata map[string]string // the metadata of calls; never changed
}

func newToken(v string, asked time.Time) *Token {
	return &Token{Value: v, Asked: asked, metadata: map[string]string{rpctypes.TokenFieldNameGRPC: v}}
}

// Metadata returns the metadata of calls; callers must not change it.
func (t *Token) Metadata() map[string]string { return t.metadata }

// mend is the wait before a login is tried again if no endpoint can work as configured.
var mend = backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second}

// Keeper holds the token of one client. Safe for concurrent use.
type Keeper struct {
	// FailFast: Ensure does not wait if no endpoint can work as configured. Set it before the first
	// use.
	FailFast bool

	fetch func(ctx context.Context) (string, error) // nil: the user's token, which cannot be renewed
	group *worker.Group
	now   atomic.Pointer[Token]
	off   atomic.Bool // the server has reported that authentication is not enabled

	mu      sync.Mutex
	running *flight // guarded by mu; the refresh under way
}

type flight struct {
	_    [0]func() // not comparable, see balancer.conn
	done chan struct{}
	err  error // set before done is closed
}

// New returns a keeper that gets its tokens from fetch.
func New(group *worker.Group, fetch func(ctx context.Context) (string, error)) *Keeper {
	return &Keeper{group: group, fetch: fetch}
}

// Static returns a keeper of the user's own token.
func Static(value string) *Keeper {
	k := &Keeper{}
	k.now.Store(newToken(value, time.Time{}))
	return k
}

// Token returns the current token; nil if there is none (yet).
func (k *Keeper) Token() *Token { return k.now.Load() }

// Lacks reports that calls need a token and there is none.
func (k *Keeper) Lacks() bool { return k.Renews() && k.now.Load() == nil && !k.off.Load() }

// Renews reports whether an expired token can be replaced.
func (k *Keeper) Renews() bool { return k.fetch != nil }

// Invalidate drops t, which the server refused; nil means that the call had no token and the server
// required one. It reports whether there can be another token, which a user's own token does not
// have. A refresh begins at once, since other streams may be about to learn the same.
func (k *Keeper) Invalidate(t *Token) bool {
	if k.fetch == nil {
		return false
	}
	if t == nil {
		k.off.Store(false)
		return true
	}
	if k.now.CompareAndSwap(t, nil) {
		_ = k.start(false) // a client that is closed needs none
	}
	return true
}

// GiveUp returns a function that drops the present token and reports whether that was still in use;
// nil if there is no token or it cannot be replaced.
func (k *Keeper) GiveUp() func() bool {
	t := k.now.Load()
	if t == nil || !k.Renews() {
		return nil
	}
	return func() bool { return k.now.CompareAndSwap(t, nil) }
}

// Ensure returns when there is a token, or none is needed. All callers that wait share one fetch.
// While no server answers it waits for ctx. If no endpoint can work as configured, it waits only if
// ctx has a deadline: the configuration may be corrected meanwhile.
func (k *Keeper) Ensure(ctx context.Context) error { return k.last(ctx, k.Try) }

// Renew fetches a token even if there is one, which the calls beside it go on using meanwhile. It
// waits as Ensure does.
func (k *Keeper) Renew(ctx context.Context) error {
	return k.last(ctx, func(ctx context.Context) error { return k.fly(ctx, true) })
}

// last tries for as long as Ensure says.
func (k *Keeper) last(ctx context.Context, try func(context.Context) error) error {
	var wrong *etcderr.Error
	for n := 0; ; n++ {
		err := try(ctx)
		if err == errUnanswered {
			continue
		}
		if e, ok := err.(*etcderr.Error); ok && e.Misconfigured && !k.FailFast {
			if _, bounded := ctx.Deadline(); !bounded {
				return err
			}
			wrong = e
			err = backoff.Sleep(ctx, mend.Wait(n))
			if err == nil {
				continue
			}
		}
		if err == context.DeadlineExceeded && wrong != nil {
			return wrong.Late()
		}
		return err
	}
}

// errUnanswered: the refresh's own time ran out, not the caller's. It must not look like the
// caller's context error.
var errUnanswered error = &etcderr.Error{
	Method: "Auth.Authenticate", Status: etcderr.Code(rpctypes.ErrTimeout), Reason: "authentication was not answered",
	Unexecuted: true,
}

// Try is Ensure with one fetch: it fails if no server answers that in time.
func (k *Keeper) Try(ctx context.Context) error {
	if k.now.Load() != nil || k.off.Load() {
		return nil
	}
	return k.fly(ctx, false)
}

// fly waits for the refresh under way, or for one that it starts. If there is a token it does so
// only if renew is set.
func (k *Keeper) fly(ctx context.Context, renew bool) error {
	f := k.start(renew)
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start returns the refresh under way, or one that it starts; nil if none is needed, see fly.
func (k *Keeper) start(renew bool) *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !renew && k.now.Load() != nil {
		return nil
	}
	if k.running != nil {
		return k.running
	}
	f := &flight{done: make(chan struct{})}
	if !k.group.Go(func(ctx context.Context) { k.refresh(ctx, f) }) {
		f.err = etcderr.Closed("Auth.Authenticate")
		close(f.done)
		return f
	}
	k.running = f
	return f
}

func (k *Keeper) refresh(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	asked := time.Now()
	value, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		k.off.Store(false)
		k.now.Store(newToken(value, asked))
	case errors.Is(err, rpctypes.ErrAuthNotEnabled):
		k.off.Store(true)
		k.now.Store(nil)
	case ctx.Err() == context.DeadlineExceeded && errors.Is(err, ctx.Err()):
		f.err = errUnanswered
	case ctx.Err() != nil:
		f.err = etcderr.Closed("Auth.Authenticate")
	default:
		f.err = err
	}
	k.running = nil
	close(f.done)
}
