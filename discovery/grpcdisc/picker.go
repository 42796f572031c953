package grpcdisc

import (
	"context"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/internal/attempt"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// table is what the endpoints' balancers have reported.
type table struct {
	state  connectivity.State
	list   []*discovery.Instance
	conns  map[key]conn
	failed balancer.Picker // of an endpoint that cannot connect; it gives the reason
}

type key struct{ id, addr string }

func keyOf(in *discovery.Instance) key {
	k := key{id: in.ID}
	if len(in.Addresses) > 0 {
		k.addr = in.Addresses[0]
	}
	return k
}

// conn is the connection to an instance.
type conn struct {
	ready  bool
	picker balancer.Picker
}

// give passes the present instances to a pick.Balancer.
func (t *table) give(b *pick.Balancer) {
	b.Update(t.list, func(in *discovery.Instance) bool { return t.conns[keyOf(in)].ready })
}

// conns is what the endpoints' balancers see instead of gRPC.
type conns struct {
	balancer.ClientConn
	p *policy
}

// UpdateState takes over the endpoints' states.
func (c *conns) UpdateState(s balancer.State) {
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	t := &table{
		state: s.ConnectivityState,
		list:  make([]*discovery.Instance, 0, len(children)),
		conns: make(map[key]conn, len(children)),
	}
	for _, child := range children {
		in := instanceOf(child.Endpoint)
		t.list = append(t.list, in)
		t.conns[keyOf(in)] = conn{child.State.ConnectivityState == connectivity.Ready, child.State.Picker}
		if child.State.ConnectivityState == connectivity.TransientFailure {
			t.failed = child.State.Picker
		}
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.p.conns == c { // not one that is closed
		c.p.table.Store(t)
		t.give(c.p.picks)
	}
}

// failing is a picker without connections: each pick fails with err.
type failing struct{ err error }

func (f failing) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, f.err
}

// picker asks the pick.Balancer.
type picker struct {
	p     *policy
	picks *pick.Balancer
}

// tries bounds how often a pick is repeated because the connection has gone meanwhile. gRPC
// gets a new picker then, within milliseconds, for which the call waits.
const tries = 4

func (k *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	t := traceOf(info.Ctx)
	var tried []*discovery.Instance
	if t != nil {
		tried = t.tried()
	}
	for range tries {
		in, done, err := k.picks.PickOther(info.Ctx, tried...)
		if err != nil {
			break
		}
		c := k.p.table.Load().conns[keyOf(in)]
		if c.ready {
			if r, err := c.picker.Pick(info); err == nil {
				if t != nil {
					t.picked(in)
				}
				streams := k.p.streams(info.FullMethodName)
				if !streams {
					done = done.Kind(info.FullMethodName)
				}
				r.Done = report(info, t, done, streams, r.Done)
				return r, nil
			}
		}
		done.Report(pick.Ignored)
	}
	if len(tried) > 0 { // do not wait for another one: the call has an error already, or is under way
		t.none.Store(true)
		return balancer.PickResult{}, status.Error(codes.Unavailable, "grpcdisc: there is no other instance")
	}
	return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
}

// paused is how late the end of a deadline may be noticed. If it is later, this process was paused,
// not the instance.
const paused = 250 * time.Millisecond

func report(
	call balancer.PickInfo, t *trace, done pick.Done, streams bool, then func(balancer.DoneInfo),
) func(balancer.DoneInfo) {
	return func(info balancer.DoneInfo) {
		o, about := outcome(info), pick.AttemptInfo{Err: info.Err}
		if t != nil {
			o = t.outcome(o)
			about.Number, about.Hedge = t.attempt.Number, t.attempt.Hedge
			if info.Err != nil && t.attempt.Ended() == attempt.TooLong {
				about.Err = errNoAnswer
			}
		}
		if o == pick.TimedOut && (late(call.Ctx) || streams) {
			o = pick.Ignored
		}
		if streams { // it counts for its kind only now, since it may be quiet
			done = done.Kind(call.FullMethodName)
		}
		done.Report(o)
		about.Outcome = o
		done.Attempt(about)
		if then != nil {
			then(info)
		}
	}
}

// late reports whether this process noticed the end of a deadline late.
func late(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && time.Since(end) > paused
}

// outcome returns what a call shows about the instance.
func outcome(info balancer.DoneInfo) pick.Outcome {
	if info.Err == nil && !info.BytesSent {
		return pick.Ignored // the connection went before there was a call
	}
	switch status.Code(info.Err) {
	case codes.Canceled:
		return pick.Ignored
	case codes.ResourceExhausted: // mostly a limit of the caller's own, on sizes above all
		return pick.Ignored
	case codes.DeadlineExceeded:
		if info.BytesReceived { // a stream that was open for as long as it should, or the server's own limit
			return pick.Ignored
		}
		return pick.TimedOut
	case codes.Unavailable:
		return pick.Failure
	case codes.Internal:
		if !info.BytesReceived { // a message that cannot be encoded, say
			return pick.Ignored
		}
	}
	return pick.Success
}
