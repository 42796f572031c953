// Code generated from package official. DO NOT EDIT.

package fairlead

import (
	"context"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/clientv3/ordering"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// named are the errors that programs know as variables.
var named = map[string]error{
	"clientv3.ErrNoAvailableEndpoints": clientv3.ErrNoAvailableEndpoints,
	"clientv3.ErrOldCluster":           clientv3.ErrOldCluster,
	"clientv3.ErrMutuallyExclusiveCfg": clientv3.ErrMutuallyExclusiveCfg,
	"concurrency.ErrElectionNotLeader": concurrency.ErrElectionNotLeader,
	"concurrency.ErrElectionNoLeader":  concurrency.ErrElectionNoLeader,
	"concurrency.ErrLocked":            concurrency.ErrLocked,
	"concurrency.ErrSessionExpired":    concurrency.ErrSessionExpired,
	"concurrency.ErrLockReleased":      concurrency.ErrLockReleased,
	"ordering.ErrNoGreaterRev":         ordering.ErrNoGreaterRev,
}

var clientCalls = map[string]call{
	// New makes another client for the user Key with the password Value.
	"New": func(r *runner, s script.Step) {
		r.rec.Add("%s", r.err(r.open(s.Name, s.Key, s.Value)))
	},
	"Close": func(r *runner, s script.Step) {
		c := r.client(s)
		r.settle()
		r.rec.Add("%s, context %v", r.err(c.Close()), c.Ctx().Err())
	},
	"Endpoints": func(r *runner, s script.Step) {
		r.rec.Add("%v", slices.Equal(r.client(s).Endpoints(), r.srv.Endpoints(r.config.AllEndpoints)))
	},
	"Sync": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		c := r.client(s)
		err := c.Sync(ctx)
		r.rec.Add("%s, %d endpoints", r.err(err), len(c.Endpoints()))
	},
	// Fault inflicts on the server the fault that Value names.
	"Fault": func(r *runner, s script.Step) {
		if err := r.srv.Fault(s.Value); err != nil {
			panic(err)
		}
	},
	"Fill": fill,
	// Rest waits N milliseconds.
	"Rest": func(r *runner, s script.Step) {
		ctx, cancel := context.WithTimeout(r.ctx, time.Duration(s.N)*time.Millisecond)
		defer cancel()
		<-ctx.Done()
	},
}

// wrap puts the program's wrappers around a client as their packages say: each replaces what it
// wraps.
func (r *runner) wrap(c *clientv3.Client, stack []script.Layer) error {
	for _, l := range stack {
		switch l.Kind {
		case "namespace":
			c.KV = namespace.NewKV(c.KV, l.Prefix)
			c.Watcher = namespace.NewWatcher(c.Watcher, l.Prefix)
			c.Lease = namespace.NewLease(c.Lease, l.Prefix)
			r.prefix += l.Prefix
		case "ordering":
			c.KV = ordering.NewKV(c.KV, ordering.NewOrderViolationSwitchEndpointClosure(c))
		case "leasing":
			kv, end, err := leasing.NewKV(c, l.Prefix)
			if err != nil {
				return err
			}
			r.closers = append(r.closers, end)
			c.KV = kv
		case "cache":
			if err := r.cached(c, l.Prefix); err != nil {
				return err
			}
		}
	}
	return nil
}
