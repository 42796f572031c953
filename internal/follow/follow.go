// Package follow is shared by packages that keep a copy of a range by listing and watching.
package follow

import (
	"context"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Opening is a watch that is being opened in the background. Watch itself blocks until a server has
// confirmed it, and a caller that waits there notices nothing else: that no member answers, that
// its session has ended, that it has to list again.
type Opening struct {
	// Opened delivers the watch once. It is never closed.
	Opened <-chan clientv3.WatchChan

	cancel context.CancelFunc
	ended  chan struct{}
}

// Open opens a watch of w. It must be closed.
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

// Reachable reports whether any member answers and has a leader. The client itself probes the
// connections of watches, so this costs etcd nothing.
func Reachable(c *clientv3.Client) bool {
	return slices.ContainsFunc(
		c.MemberStates(),
		func(m clientv3.MemberStatus) bool { return m.State == clientv3.MemberHealthy },
	)
}

// LookEvery is how often such packages check whether the cluster is Reachable.
const LookEvery = 500 * time.Millisecond

// Reached returns the revision up to which a response has brought its watch, 0 if the response does
// not say. A header has the server's revision, which for a watch that is catching up is far ahead
// of the events.
func Reached(r *clientv3.WatchResponse) int64 {
	if n := len(r.Events); n > 0 {
		return r.Events[n-1].Kv.ModRevision
	}
	if r.IsProgressNotify() {
		return r.Header.Revision
	}
	return 0
}
