package etcdv3

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// watchAgain is how long to wait after a watch ended by itself.
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
		// There may be changes between the two watches.
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
