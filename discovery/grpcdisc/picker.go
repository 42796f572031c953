package grpcdisc

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// table is what the endpoints' balancers have reported.
type table struct {
	state  connectivity.State
	list   []*discovery.Instance
	conns  map[key]conn
	failed balancer.Picker // of one that cannot connect, to say why
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

// give tells a pick.Balancer what there is.
func (t *table) give(b *pick.Balancer) {
	b.Update(t.list, func(in *discovery.Instance) bool { return t.conns[keyOf(in)].ready })
}

// conns is what the endpoints' balancers take for gRPC.
type conns struct {
	balancer.ClientConn
	p *policy
}

// UpdateState takes what they report.
func (c *conns) UpdateState(s balancer.State) {
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	t := &table{state: s.ConnectivityState, list: make([]*discovery.Instance, 0, len(children)), conns: make(map[key]conn, len(children))}
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

// failing is a picker that has nothing.
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
	for range tries {
		in, done, err := k.picks.Pick(info.Ctx)
		if err != nil {
			break
		}
		c := k.p.table.Load().conns[keyOf(in)]
		if c.ready {
			if r, err := c.picker.Pick(info); err == nil {
				r.Done = report(done, r.Done)
				return r, nil
			}
		}
		done.Report(pick.Ignored)
	}
	return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
}

func report(done pick.Done, then func(balancer.DoneInfo)) func(balancer.DoneInfo) {
	return func(info balancer.DoneInfo) {
		done.Report(outcome(info))
		if then != nil {
			then(info)
		}
	}
}

// outcome is what a call says about the instance.
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
		return pick.TimedOut
	case codes.Unavailable, codes.Internal, codes.DataLoss:
		return pick.Failure
	}
	return pick.Success
}
