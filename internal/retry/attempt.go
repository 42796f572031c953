package retry

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// try is one attempt under way.
type try struct {
	balancer.Context
	began  time.Time
	number int             // the call's failures before this attempt
	hedge  bool            // the second request of an attempt
	ended  *balancer.Ended // the reason why its connection cancelled it; nil if it did not
}

func (k *call) newAttempt() *try {
	a := &k.first
	if !a.began.IsZero() {
		a = &try{}
	}
	a.began, a.number = time.Now(), int(k.failures)
	ctx, cancel := context.WithCancelCause(k.ctx)
	a.Context.Context, a.Pick.Cancel = ctx, cancel
	a.Pick.Avoid, a.Pick.Pin = k.avoid, k.pin
	if k.plan.kind != write || k.ctx.Value(earlyKey) != nil {
		a.Pick.Class = balancer.Read
	}
	a.Pick.Consensus, a.Pick.Short = k.plan.consensus, k.plan.short
	a.Pick.Proposes = k.plan.consensus && (k.plan.kind == write || k.plan.kind == repeat)
	a.Pick.TellSent, a.Pick.Lane = k.plan.kind == write, k.lane
	// A login does not have the deadline of the calls that wait for it.
	_, bounded := k.ctx.Deadline()
	a.Pick.Bounded = bounded && k.plan.kind != login
	a.Pick.Urgent = k.plan.kind == login
	return a
}

// send makes the RPC of an attempt.
func (k *call) send(a *try, reply any) error {
	err := k.c.cfg.Raw.Invoke(&a.Context, k.method, k.req, reply, k.opts...)
	a.Pick.Finish(outcomeOf(err))
	if err != nil {
		a.ended, _ = context.Cause(a.Context.Context).(*balancer.Ended)
	}
	a.Pick.Cancel(nil)
	if k.c.cfg.Observe != nil {
		k.observe(a, err)
	}
	if m := a.Pick.Got; err == nil && m != nil && m.ID() == 0 {
		if r, ok := reply.(interface{ GetHeader() *pb.ResponseHeader }); ok {
			m.SetID(r.GetHeader().GetMemberId())
		}
	}
	return err
}

func (k *call) observe(a *try, err error) {
	o := Observation{
		Method: etcderr.ShortMethod(k.method),
		Number: a.number,
		Hedge:  a.hedge,
		Took:   time.Since(a.began),
		Err:    err,
	}
	if m := a.Pick.Got; m != nil {
		o.Member = m.Name()
	}
	k.c.cfg.Observe(o)
}

// outcomeOf returns what an attempt's error shows about its member's ability to answer.
func outcomeOf(err error) balancer.Outcome {
	if err == nil {
		return balancer.Done
	}
	if etcderr.Known(err) == nil {
		return balancer.Unanswered
	}
	switch etcderr.ClassOf(err) {
	case etcderr.Final, etcderr.Moved:
		return balancer.Done
	}
	return balancer.Answered
}

// finish notes the outcome of an attempt.
func (k *call) finish(a *try, err error) error {
	if err == nil {
		if k.plan.kind == repeat {
			if t, ok := k.ctx.Value(sentKey).(*time.Time); ok {
				*t = time.Now().Add(-a.Pick.Age())
			}
		}
		k.answered(a)
		return nil
	}
	name := ""
	if m := a.Pick.Got; m != nil {
		name = m.Name()
		k.avoid |= m.Slot()
		m.Failed(err, &a.Pick)
	} else if a.ended != nil {
		// gRPC was picking again when the verdict on the attempt's last connection came.
		name = a.ended.Member.Name()
	}
	k.tried = append(k.tried, etcderr.Attempt{Member: name, Err: err, Took: time.Since(a.began)})
	return k.outcome(a, err)
}

// outcome turns an attempt's error into the user's form and decides whether the
// request may have been executed.
func (k *call) outcome(a *try, err error) error {
	sent := a.Pick.Got != nil && (a.Pick.Sent || !a.Pick.TellSent)
	out := k.c.explain(k.ctx, etcderr.ShortMethod(k.method), &a.Pick, a.ended, err)
	k.moved = a.ended != nil && a.ended.Moved
	definite := !sent || etcderr.NotExecuted(err)
	if e, ours := out.(*etcderr.Error); ours {
		e.Unexecuted = definite
	}
	k.uncertain = k.uncertain || !definite
	if t, ok := a.Pick.Token.(*auth.Token); ok && etcderr.ClassOf(out) == etcderr.Token {
		return &refused{err: out, token: t}
	}
	return out
}
