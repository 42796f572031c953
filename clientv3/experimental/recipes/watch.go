package recipe

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// WaitEvents waits until a key has had events of these types, in this order, at rev or later, and
// returns the last event. It waits as long as the client lives.
func WaitEvents(c *clientv3.Client, key string, rev int64, evs []mvccpb.Event_EventType) (*clientv3.Event, error) {
	return WaitEventsContext(c.Ctx(), c, key, rev, evs)
}

// WaitPrefixEvents is [WaitEvents] for all keys with a prefix.
func WaitPrefixEvents(
	c *clientv3.Client,
	prefix string,
	rev int64,
	evs []mvccpb.Event_EventType,
) (*clientv3.Event, error) {
	return WaitEventsContext(c.Ctx(), c, prefix, rev, evs, clientv3.WithPrefix())
}

// WaitEventsContext is [WaitEvents] with a context, for the key or range that the options describe.
// If rev was compacted, the error is rpctypes.ErrCompacted.
func WaitEventsContext(
	ctx context.Context,
	c *clientv3.Client,
	key string,
	rev int64,
	evs []mvccpb.Event_EventType,
	opts ...clientv3.OpOption,
) (*clientv3.Event, error) {
	var last *clientv3.Event
	err := follow(ctx, c, key, rev, func(ev *clientv3.Event) bool {
		if len(evs) > 0 && ev.Type == evs[0] {
			last, evs = ev, evs[1:]
		}
		return len(evs) == 0
	}, opts...)
	return last, err
}

// follow passes events to f until it returns true.
func follow(
	ctx context.Context,
	c *clientv3.Client,
	key string,
	rev int64,
	f func(*clientv3.Event) bool,
	opts ...clientv3.OpOption,
) error {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r := range c.Watch(wctx, key, append(opts, clientv3.WithRev(rev))...) {
		for _, ev := range r.Events {
			if f(ev) {
				return nil
			}
		}
		if err := r.Err(); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrNoWatcher
}
