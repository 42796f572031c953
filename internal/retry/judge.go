package retry

import (
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// maxRefreshes is how often the token of a call is replaced at most, and maxFresh for tokens that
// were refused soon after they had been asked for: those are not valid where the call goes. An
// older one has expired while the call waited, and may do so again on a slow or busy cluster.
const (
	maxRefreshes = 12
	maxFresh     = 3
	freshFor     = time.Second
)

// judge decides whether to repeat after err, the n-th failure from 0, and how
// long to wait before.
func (k *call) judge(err error, n uint) (wait time.Duration, again bool) {
	if k.ctx.Err() != nil || n >= k.c.cfg.Limits.MaxRetries || k.c.Over() {
		return 0, false
	}
	lim := k.c.cfg.Limits
	if k.tried[len(k.tried)-1].Member == "" {
		// There was no member and the call does not wait for one; or there was no token: the keeper
		// has repeated its own call already as often as is useful.
		return 0, false
	}
	class := etcderr.ClassOf(err)
	if k.needsToken(err, class) {
		var old *auth.Token
		if r, ok := err.(*refused); ok {
			old = r.token
		}
		if old == nil || time.Since(old.Asked) < freshFor {
			k.fresh++
		}
		k.refreshes++
		if k.fresh > maxFresh || k.refreshes > maxRefreshes || k.plan.kind == login {
			return 0, false
		}
		return 0, k.c.cfg.Auth.Invalidate(old)
	}
	if k.plan.kind == write && !etcderr.NotExecuted(err) {
		return 0, false
	}
	if k.moved {
		return 0, true
	}
	switch class {
	case etcderr.Broken, etcderr.NoQuorum, etcderr.Moved, etcderr.NoLeader, etcderr.Learner:
		untried := k.pin == nil && k.c.cfg.Set.Alternative(k.avoid)
		// One lost connection, or one change of leadership, ends many calls, but only once. It
		// shows trouble only to a call that meets it on all members.
		single := (class == etcderr.Broken || class == etcderr.Moved) && (n == 0 || untried)
		switch {
		case !single && !k.c.retries.take():
			return k.spread(n), true
		case untried && (single || n == 0), single && class == etcderr.Broken:
			return 0, true // if there is no member, gRPC waits for one
		}
		return lim.Wait(int(n)), true
	case etcderr.Overload:
		k.c.retries.take()
		return lim.Wait(int(n)), true
	}
	return 0, false
}

// spread returns how long a repetition waits when the budget is empty. The wait is drawn evenly
// from the call's remaining time, so that calls that failed together do not return together.
func (k *call) spread(n uint) time.Duration {
	least, most := k.c.cfg.Limits.Wait(int(n)), 2*DefaultWaitMax
	if d, ok := k.ctx.Deadline(); ok {
		most = min(most, time.Until(d)*3/4) // in time for an answer
	}
	if most <= least {
		return least
	}
	return least + rand.N(most-least)
}

// needsToken reports whether the server requires a (new) token, and the client can get one.
func (k *call) needsToken(err error, class etcderr.Class) bool {
	return k.c.cfg.Auth != nil && (class == etcderr.Token || err == rpctypes.ErrUserEmpty)
}
