// Package auth keeps the client's authentication token.
//
// There is at most one refresh under way for a whole client. Whoever finds a
// token expired invalidates the one that was refused, which does nothing if a
// newer one exists already; whoever needs a token then waits for the one
// refresh that is under way. The refresh runs on its own, so a caller whose context ends stops
// waiting without taking the refresh away from the others. One that nobody answers is given up
// after a while and begun again for those who still wait.
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

// Token is one token; compared by identity.
type Token struct {
	Value    string
	metadata map[string]string // what calls carry; never changed
}

func newToken(v string) *Token {
	return &Token{Value: v, metadata: map[string]string{rpctypes.TokenFieldNameGRPC: v}}
}

// Metadata is what a call carries; callers must not change it.
func (t *Token) Metadata() map[string]string { return t.metadata }

// mend is the wait before a login is tried again where no endpoint can work as configured.
var mend = backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second}

// Keeper holds the token of one client. Safe for concurrent use.
type Keeper struct {
	// FailFast: Ensure does not wait where no endpoint can work as configured. To be set before
	// use.
	FailFast bool

	fetch func(ctx context.Context) (string, error) // nil: the token was given and cannot be renewed
	group *worker.Group
	now   atomic.Pointer[Token]
	off   atomic.Bool // the server said that authentication is not enabled

	mu      sync.Mutex
	running *flight // guarded by mu; the refresh under way
}

type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// New returns a keeper that gets its tokens from fetch.
func New(group *worker.Group, fetch func(ctx context.Context) (string, error)) *Keeper {
	return &Keeper{group: group, fetch: fetch}
}

// Static returns a keeper of a token that the user brought.
func Static(value string) *Keeper {
	k := &Keeper{}
	k.now.Store(newToken(value))
	return k
}

// Token is the current token; nil if there is none (yet).
func (k *Keeper) Token() *Token { return k.now.Load() }

// Renews reports whether there can be another token when one has expired.
func (k *Keeper) Renews() bool { return k.fetch != nil }

// Invalidate drops t, which the server refused; nil means that the call went
// without a token and the server required one. It reports whether there can be
// another token: not if the user brought it.
func (k *Keeper) Invalidate(t *Token) bool {
	if k.fetch == nil {
		return false
	}
	if t == nil {
		k.off.Store(false)
		return true
	}
	k.now.CompareAndSwap(t, nil)
	return true
}

// GiveUp returns what drops the present token, and reports whether that was still in use; nil if
// there is none or there can be no other.
func (k *Keeper) GiveUp() func() bool {
	t := k.now.Load()
	if t == nil || !k.Renews() {
		return nil
	}
	return func() bool { return k.now.CompareAndSwap(t, nil) }
}

// Ensure returns when there is a token, or none is needed. If it has to be
// fetched, the one fetch serves all who wait. While nobody answers it waits for ctx. Where no
// endpoint can work as configured, it does so if ctx has a deadline: somebody may set that right.
func (k *Keeper) Ensure(ctx context.Context) error {
	var wrong *etcderr.Error
	for n := 0; ; n++ {
		err := k.Try(ctx)
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

// Try is Ensure with one fetch: it fails if nobody answers that in time.
func (k *Keeper) Try(ctx context.Context) error {
	if k.now.Load() != nil || k.off.Load() {
		return nil
	}
	k.mu.Lock()
	if k.now.Load() != nil {
		k.mu.Unlock()
		return nil
	}
	f := k.running
	if f == nil {
		f = &flight{done: make(chan struct{})}
		if !k.group.Go(func(ctx context.Context) { k.refresh(ctx, f) }) {
			k.mu.Unlock()
			return etcderr.Closed("Auth.Authenticate")
		}
		k.running = f
	}
	k.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keeper) refresh(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	value, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		k.off.Store(false)
		k.now.Store(newToken(value))
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
