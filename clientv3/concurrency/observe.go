package concurrency

import (
	"context"
	"errors"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// Observe returns a channel of the leaders and what they proclaim, in order, beginning with the
// present one; some may be skipped, the last always comes. Responses are as those of
// [Election.Leader]. The channel is closed when ctx ends or the client is closed, and for no other
// reason: it survives compactions and errors. Nothing comes while there is no leader, see
// [Election.ObserveState]. A goroutine serves the channel until it is closed.
func (e *Election) Observe(ctx context.Context) <-chan *v3.GetResponse {
	out := make(chan *v3.GetResponse)
	go func() {
		defer close(out)
		e.observe(ctx, func(l Leadership) bool {
			if l.Leader == nil {
				return true
			}
			select {
			case out <- l.Leader:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return out
}

// Leadership is a state that [Election.ObserveState] reports.
type Leadership struct {
	// Leader has the leader's key and value, as [Election.Leader] returns them; nil if there is no
	// leader.
	Leader *v3.GetResponse
	// Revision is the store's revision as of which the state is right.
	Revision int64
	// Err is set when the cluster could not be asked; the observation goes on, and Leader is nil.
	Err error
}

// ObserveState is like [Election.Observe], and also reports when there is no leader, and when the
// cluster cannot be asked. A state follows only if it differs from the one before. The channel is
// closed as that of Observe.
func (e *Election) ObserveState(ctx context.Context) <-chan Leadership {
	out := make(chan Leadership)
	go func() {
		defer close(out)
		e.observe(ctx, func(l Leadership) bool {
			select {
			case out <- l:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return out
}

// observeWait is the wait between two tries while the cluster does not answer.
var observeWait = backoff.Policy{Base: lookAgain, Max: 20 * lookAgain}

// observe reports states until report returns false, ctx ends or the client is closed.
func (e *Election) observe(ctx context.Context, report func(Leadership) bool) {
	var reported struct {
		some    bool  // anything
		create  int64 // of the leader's key, 0 for nobody
		mod     int64
		failing bool
	}
	for failures := 0; ctx.Err() == nil && e.s.client.Ctx().Err() == nil; {
		line := v3.NewListing(0)
		r, err := e.s.client.Get(ctx, e.prefix, v3.WithFirstCreate()...)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, v3.ErrClosed) {
				return
			}
			if !reported.failing && !report(Leadership{Err: err}) {
				return
			}
			reported.failing = true
			if backoff.Sleep(ctx, observeWait.Wait(failures)) != nil {
				return
			}
			failures++
			continue
		}
		failures = 0
		line.Add(r)
		state := Leadership{Revision: r.Header.Revision}
		var create, mod int64
		key, opts := e.prefix, []v3.OpOption{v3.WithPrefix(), v3.WithFilterDelete()}
		if len(r.Kvs) > 0 {
			state.Leader, create, mod = r, r.Kvs[0].CreateRevision, r.Kvs[0].ModRevision
			key, opts = string(r.Kvs[0].Key), nil
		}
		if !reported.some || reported.failing || reported.create != create || reported.mod != mod {
			if !report(state) {
				return
			}
		}
		reported.some, reported.failing, reported.create = true, false, create
		reported.mod = e.follow(ctx, key, append(opts, v3.WithListing(line)), create, mod, report)
		if reported.mod < 0 {
			return
		}
	}
}

// follow watches a leader's key, or all keys if there is no leader (create is 0), reports what the
// leader proclaims, and returns when there may be another leader. It returns the mod revision last
// reported, -1 if report needs nothing more.
func (e *Election) follow(
	ctx context.Context,
	key string,
	opts []v3.OpOption,
	create, mod int64,
	report func(Leadership) bool,
) int64 {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r := range e.s.client.Watch(wctx, key, opts...) {
		for _, ev := range r.Events {
			if create == 0 || ev.Type == v3.EventTypeDelete || ev.Kv.CreateRevision != create {
				return mod
			}
			mod = ev.Kv.ModRevision
			l := &v3.GetResponse{Header: r.Header, Count: 1}
			l.Kvs = append(l.Kvs, ev.Kv)
			if !report(Leadership{Leader: l, Revision: mod}) {
				return -1
			}
		}
	}
	if backoff.Sleep(ctx, lookAgain) != nil {
		return -1
	}
	return mod
}
