package etcdv3

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// watchAgain is the wait after a watch that ended by itself.
const watchAgain = 200 * time.Millisecond

func (c *client) WatchPrefix(prefix string, ch chan struct{}) {
	signal := func() bool {
		select {
		case ch <- struct{}{}:
			return true
		case <-c.ctx.Done():
			return false
		}
	}
	if !signal() {
		return
	}
	for c.ctx.Err() == nil {
		ctx, cancel := context.WithCancel(c.ctx)
		for r := range c.cli.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
			if len(r.Events) > 0 && !signal() {
				cancel()
				return
			}
		}
		cancel()
		// What happened until there is another watch is not known.
		if !pause(c.ctx, watchAgain) || !signal() {
			return
		}
	}
}

// pause waits for d; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// differ is what a Client of this package can do beyond the interface: report changes
// instead of the fact that there was one.
type differ interface {
	// follow calls set with all values by key, and then change for each one that came,
	// changed or went (value nil), and err for what keeps it from either, until ctx ends.
	// Changes of one answer are followed by one call of done.
	follow(ctx context.Context, prefix string, to receiver)
}

type receiver interface {
	set(values map[string]string)
	change(key string, value *string)
	done()
	failed(err error)
}

func (c *client) follow(ctx context.Context, prefix string, to receiver) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	for ctx.Err() == nil {
		if err := c.followOnce(ctx, prefix, to); err != nil && ctx.Err() == nil {
			to.failed(err)
		}
		pause(ctx, watchAgain)
	}
}

// followOnce lists and watches until the watch ends.
func (c *client) followOnce(ctx context.Context, prefix string, to receiver) error {
	lctx, cancel := context.WithTimeout(ctx, requestTimeout)
	r, err := c.cli.Get(lctx, prefix, clientv3.WithPrefix())
	cancel()
	if err != nil {
		return err
	}
	values := make(map[string]string, len(r.Kvs))
	for _, kv := range r.Kvs {
		values[string(kv.Key)] = string(kv.Value)
	}
	to.set(values)
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	for w := range c.cli.Watch(wctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(r.Header.Revision+1)) {
		for _, ev := range w.Events {
			if ev.Type == clientv3.EventTypeDelete {
				to.change(string(ev.Kv.Key), nil)
				continue
			}
			v := string(ev.Kv.Value)
			to.change(string(ev.Kv.Key), &v)
		}
		if len(w.Events) > 0 {
			to.done()
		}
	}
	return nil // list again: compacted, say
}
