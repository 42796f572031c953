// Package follow has what those share that keep a copy of a range by listing and watching.
package follow

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Opening is a watch that is asked for in the background. Watch itself blocks until a server
// has confirmed it, and whoever waits there sees nothing else: that the members are gone, that
// his session has ended, that he is to list again.
type Opening struct {
	// Opened delivers the watch once. It is never closed.
	Opened <-chan clientv3.WatchChan

	cancel context.CancelFunc
	ended  chan struct{}
}

// Open asks w for a watch. It must be closed.
func Open(ctx context.Context, w clientv3.Watcher, key string, opts ...clientv3.OpOption) *Opening {
	ctx, cancel := context.WithCancel(ctx)
	opened := make(chan clientv3.WatchChan, 1)
	o := &Opening{Opened: opened, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		opened <- w.Watch(ctx, key, opts...)
	}()
	return o
}

// Close ends the watch, opened or not.
func (o *Opening) Close() {
	o.cancel()
	<-o.ended
}
