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

// LeaderConfig says what [RunLeader] runs, and whom it notifies. All functions but Run must
// return soon; they are not called at the same time, except OnLeader.
type LeaderConfig struct {
	Client *clientv3.Client
	// Prefix is the election's: all candidates give the same.
	Prefix string
	// Identity is what the others see of this candidate while it leads.
	Identity string
	// TTL is how long, in seconds, nobody leads after a leader died. 0 is DefaultLeaderTTL.
	TTL int

	// Run is called whenever this candidate has been elected. Its context ends when the
	// leadership does, before anyone else can lead, when the candidate is not healthy, and
	// with the context of RunLeader; then Run must return, since nothing else happens before it
	// has. If it returns while this candidate leads, RunLeader resigns and returns Run's result.
	// The election gives its fencing token, and guards transactions (concurrency.Guard).
	Run func(ctx context.Context, e *concurrency.Election) error

	// Healthy, if set, is asked before campaigning and every HealthEvery while leading. While
	// it returns an error, the candidate does not lead.
	Healthy func(ctx context.Context) error
	// HealthEvery is DefaultHealthEvery if zero.
	HealthEvery time.Duration

	// OnLeader, if set, is called with every leader, this one included.
	OnLeader func(identity string)
	// OnElected, if set, is called before Run, with the fencing token.
	OnElected func(fence int64)
	// OnStopped, if set, is called after Run returned and before the leadership is given up,
	// unless it is lost already, with the cause: concurrency's
	// ErrSessionExpired or ErrOwnershipLost, the error of Healthy, the context's, or nil if Run
	// returned by itself.
	OnStopped func(cause error)
	// OnError, if set, is called with what keeps the candidate from campaigning; it tries again.
	OnError func(err error)
}

const (
	// DefaultLeaderTTL is long enough for a garbage collection or a short overload, and
	// short enough for most services to do without a leader.
	DefaultLeaderTTL = 15
	// DefaultHealthEvery is a third of [DefaultLeaderTTL].
	DefaultHealthEvery = 5 * time.Second
	// resignWithin bounds the resignation; if that fails, the TTL ends the leadership.
	resignWithin = time.Second
)

// leaderWait is the wait between two tries to campaign.
var leaderWait = backoff.Policy{Base: 100 * time.Millisecond, Max: 2 * time.Second}

// RunLeader campaigns until ctx ends, and runs a function whenever and as long as this
// candidate leads. A leadership that is lost is sought again. It returns ctx's error, or
// what Run returned; by then the leadership was given up so that another can lead at
// once, if a member answered within a second.
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

// term is one campaign and what follows. done: Run returned by itself, with err; else err
// is what kept the candidate from leading.
func (r *runner) term(ctx context.Context) (done bool, err error) {
	if r.Healthy != nil {
		if err := r.Healthy(ctx); err != nil {
			return false, err
		}
	}
	// The session outlives ctx, to be able to resign.
	sctx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, end)
	s, err := concurrency.NewSession(r.Client, concurrency.WithTTL(r.TTL), concurrency.WithContext(sctx))
	if !stop() || err != nil {
		return false, err
	}
	defer func() {
		defer time.AfterFunc(resignWithin, end).Stop()
		_ = s.Close() // the TTL does what it cannot
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
	cause := context.Cause(lctx) // nil: it returned by itself
	cancel(nil)
	<-checked
	tell(r.OnStopped, cause) // before a successor can begin
	rctx, over := context.WithTimeout(context.WithoutCancel(ctx), resignWithin)
	defer over()
	_ = e.Resign(rctx) // closing the session does it too
	if cause != nil {
		return false, nil
	}
	return true, err
}

// watchHealth ends a leadership that is not healthy.
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
