package retry

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// call is one call of the user.
type call struct {
	c          *Conn
	ctx        context.Context
	method     string
	req, reply any
	opts       []grpc.CallOption
	plan       plan
	pin        *balancer.Member
	lane       bool // on the connection for much data

	avoid     uint64            // members that failed this call
	tried     []etcderr.Attempt // failures so far
	failures  uint              // attempts that failed so far
	refreshes int               // how often the token was refused
	fresh     int               // as a fresh one
	uncertain bool              // an attempt may have been executed
	moved     bool              // the last attempt's connection was found silent, or its member stalled
	first     try               // the first attempt; inside, so that most calls need one allocation
}

// invoke makes a call; k is empty.
func (c *Conn) invoke(k *call, ctx context.Context, method string, req, reply any, opts []grpc.CallOption) error {
	if ctx == nil {
		return etcderr.Invalid(etcderr.ShortMethod(method), "the context is nil")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.closed.Load() {
		return etcderr.Closed(etcderr.ShortMethod(method))
	}
	if err := c.tooLarge(method, req); err != nil {
		return err
	}
	k.c, k.ctx, k.method, k.req, k.reply, k.plan = c, ctx, method, req, reply, planFor(method, req)
	if k.plan.kind == write && ctx.Value(repeatKey) != nil {
		k.plan.kind = repeat
		k.plan.hedge = k.plan.short // a put or a delete of one key
	}
	if k.plan.many && ctx.Value(bulkKey) != nil {
		k.plan.short, k.plan.hedge, k.lane = false, false, true
	}
	k.opts = options(ctx, opts)
	k.pin, _ = ctx.Value(pinKey).(*balancer.Member)
	if r, ok := req.(*pb.MemberRemoveRequest); ok {
		k.avoidID(r.ID) // a member that is removed stops, often before it answers
	}
	c.hedges.call()
	c.retries.call()
	for n := uint(0); ; n++ {
		k.failures = n
		err := k.attempt()
		if err == nil {
			return nil
		}
		wait, again := k.judge(err, n)
		if !again {
			return k.fail(err)
		}
		if err := backoff.Sleep(ctx, wait); err != nil {
			return k.fail(err)
		}
		if needed, ok := ctx.Value(whileKey).(func() bool); ok && !needed() {
			return k.fail(err)
		}
	}
}

// avoidID makes the member with etcd's id the last choice, if it is known.
func (k *call) avoidID(id uint64) {
	for _, m := range k.c.cfg.Set.Members() {
		if id != 0 && m.ID() == id {
			k.avoid |= m.Slot()
		}
	}
}

// attempt makes one attempt, hedged if that is permitted, and records a failure in k.tried.
func (k *call) attempt() error {
	if k.plan.kind != login {
		if err := k.c.token(k.ctx); err != nil {
			k.tried = append(k.tried, etcderr.Attempt{Err: err})
			return &noToken{err}
		}
	}
	if k.plan.hedge && k.pin == nil && (k.plan.kind == login || k.c.cfg.Set.Usable() > 1) {
		return k.hedged()
	}
	a := k.newAttempt()
	return k.finish(a, k.send(a, k.reply))
}

// token returns when there is a token, or none is needed.
func (c *Conn) token(ctx context.Context) error {
	switch {
	case c.cfg.Auth == nil:
		return nil
	case ctx.Value(failFastKey) == nil:
		return c.cfg.Auth.Ensure(ctx)
	case c.cfg.Set.Usable() == 0:
		return nil // the call itself reports the reason for each member; a member that comes back refuses it
	}
	return c.cfg.Auth.Try(ctx)
}
