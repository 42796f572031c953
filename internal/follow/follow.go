// Package follow has what those share that keep a copy of a range by listing and watching.
package follow

import (
	"context"
	"slices"
	"time"

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

// Reachable reports whether any member answers and follows a leader. The client probes the
// connections that carry watches by itself, so this costs etcd nothing.
func Reachable(c *clientv3.Client) bool {
	return slices.ContainsFunc(
		c.MemberStates(),
		func(m clientv3.MemberStatus) bool { return m.State == clientv3.MemberHealthy },
	)
}

// LookEvery is how often those that keep a copy ask whether it is Reachable.
const LookEvery = 500 * time.Millisecond

// Reached is the revision up to which a response has brought its watch, 0 if it says nothing of
// that. A header says how far the server was, which for a watch that catches up is far ahead of
// the events.
func Reached(r *clientv3.WatchResponse) int64 {
	if n := len(r.Events); n > 0 {
		return r.Events[n-1].Kv.ModRevision
	}
	if r.IsProgressNotify() {
		return r.Header.Revision
	}
	return 0
}
