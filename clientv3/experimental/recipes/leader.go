package recipe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// LeaderConfig says what [RunLeader] runs, and whom it notifies. All functions but Run must return
// soon. They are called one at a time, except OnLeader.
type LeaderConfig struct {
	Client *clientv3.Client
	// Prefix is the election's prefix. All candidates use the same.
	Prefix string
	// Identity is the name of this candidate that the others see while it leads.
	Identity string
	// TTL is how long, in seconds, nobody leads after a leader has died. 0 stands for
	// [DefaultLeaderTTL].
	TTL int

	// Run is called whenever this candidate has been elected. Its context ends when the leadership
	// ends, before anyone else can lead, when the candidate is not healthy, and with the context of
	// RunLeader. Run must return then: until it has, nothing else happens. If Run returns while
	// this candidate leads, RunLeader resigns and returns Run's result. The election has the
	// fencing token, and guards transactions (concurrency.Guard).
	Run func(ctx context.Context, e *concurrency.Election) error

	// Healthy, if set, is called before each campaign and every HealthEvery while this candidate
	// leads. While it returns an error, the candidate does not lead.
	Healthy func(ctx context.Context) error
	// HealthEvery is the time between two calls of Healthy. 0 stands for [DefaultHealthEvery].
	HealthEvery time.Duration

	// OnLeader, if set, is called with every leader, this one included.
	OnLeader func(identity string)
	// OnElected, if set, is called before Run, with the fencing token.
	OnElected func(fence int64)
	// OnStopped, if set, is called after Run has returned and, unless the leadership is lost,
	// before it is given up. The cause is concurrency's ErrSessionExpired or ErrOwnershipLost, the
	// error of Healthy, that of the context, or nil if Run returned by itself.
	OnStopped func(cause error)
	// OnError, if set, is called with the error when a campaign fails. The candidate then tries
	// again.
	OnError func(err error)
}

const (
	// DefaultLeaderTTL is long enough for a garbage collection or a short overload, and short
	// enough for most services to be without a leader meanwhile.
	DefaultLeaderTTL = 15
	// DefaultHealthEvery is a third of [DefaultLeaderTTL].
	DefaultHealthEvery = 5 * time.Second
	// resignWithin bounds the resignation. If it fails, the leadership ends after the TTL.
	resignWithin = time.Second
)

// leaderWait is the wait between two tries to campaign.
var leaderWait = backoff.Policy{Base: 100 * time.Millisecond, Max: 2 * time.Second}

// RunLeader campaigns until ctx ends, and runs cfg.Run whenever and as long as this candidate
// leads. After a lost leadership it campaigns again. It returns ctx's error, or the result of Run.
// Before it returns it resigns, so that another can lead at once; if no member answers within a
// second, the others wait for the TTL.
func RunLeader(ctx context.Context, cfg LeaderConfig) error {
	switch {
	case cfg.Client == nil:
		return errors.New("recipe: LeaderConfig.Client is missing")
	case cfg.Run == nil:
		return errors.New("recipe: LeaderConfig.Run is missing")
	case cfg.Prefix == "":
		return errors.New("recipe: LeaderConfig.Prefix is empty")
	case cfg.TTL < 0 || cfg.HealthEvery < 0:
		return fmt.Errorf(
			"recipe: a TTL of %d s and a health check every %v must not be negative",
			cfg.TTL,
			cfg.HealthEvery,
		)
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultLeaderTTL
	}
	if cfg.HealthEvery == 0 {
		cfg.HealthEvery = DefaultHealthEvery
	}
	r := &runner{cfg}
	for failures := 0; ; {
		done, err := r.term(ctx)
		switch {
		case ctx.Err() != nil && !done:
			return ctx.Err()
		case done:
			return err
		case err == nil:
			failures = 0
			continue
		}
		tell(cfg.OnError, err)
		if err := backoff.Sleep(ctx, leaderWait.Wait(failures)); err != nil {
			return err
		}
		failures++
	}
}

func tell[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

type runner struct{ LeaderConfig }

// term is one campaign and the leadership that follows. If done, Run returned err by itself; else
// err is the reason why the candidate did not lead, or leads no more.
func (r *runner) term(ctx context.Context) (done bool, err error) {
	if r.Healthy != nil {
		if err := r.Healthy(ctx); err != nil {
			return false, err
		}
	}
	// The session outlives ctx, so that it can resign.
	sctx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, end)
	s, err := concurrency.NewSession(r.Client, concurrency.WithTTL(r.TTL), concurrency.WithContext(sctx))
	if !stop() || err != nil {
		return false, err
	}
	defer func() {
		defer time.AfterFunc(resignWithin, end).Stop()
		_ = s.Close() // if it fails, the session ends after the TTL
	}()
	e := concurrency.NewElection(s, r.Prefix)
	if r.OnLeader != nil {
		octx, cancel := context.WithCancel(ctx)
		observed := make(chan struct{})
		go func() {
			defer close(observed)
			for l := range e.Observe(octx) {
				r.OnLeader(string(l.Kvs[0].Value))
			}
		}()
		defer func() { cancel(); <-observed }()
	}
	if err := e.Campaign(ctx, r.Identity); err != nil {
		return false, err
	}
	return r.lead(ctx, e)
}

// lead runs Run for one leadership.
func (r *runner) lead(ctx context.Context, e *concurrency.Election) (done bool, err error) {
	lctx, cancel := context.WithCancelCause(e.Context())
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(ctx.Err()) })()
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		r.watchHealth(lctx, cancel)
	}()
	tell(r.OnElected, e.Fence())
	err = r.Run(lctx, e)
	cause := context.Cause(lctx) // nil if Run returned by itself
	cancel(nil)
	<-checked
	tell(r.OnStopped, cause) // before a successor can begin
	rctx, over := context.WithTimeout(context.WithoutCancel(ctx), resignWithin)
	defer over()
	_ = e.Resign(rctx) // if it fails, closing the session does it
	if cause != nil {
		return false, nil
	}
	return true, err
}

// watchHealth ends the leadership when Healthy returns an error.
func (r *runner) watchHealth(ctx context.Context, cancel context.CancelCauseFunc) {
	if r.Healthy == nil {
		return
	}
	for backoff.Sleep(ctx, r.HealthEvery) == nil {
		if err := r.Healthy(ctx); err != nil && ctx.Err() == nil {
			cancel(err)
			return
		}
	}
}
