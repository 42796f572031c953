package cache

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Watch implements [clientv3.Watcher]: it delivers the changes of a key, or of a range of keys
// within one prefix of the cache, as the cache receives them, so any number of watches cost etcd
// one. All options are as for a watch in etcd; [clientv3.WithFragment] has no effect.
//
// Without [clientv3.WithRev] it begins with the first change that the copy does not have yet.
// Programs that have read from the cache go on with WithRev and the response's revision + 1. A
// watch that reaches back further than the cache's history ([WithHistory]), is not within one
// prefix, has an empty range, or begins before the cache is ready, goes to etcd. It needs the
// server's watch but is otherwise the same.
//
// Nothing is lost and nothing comes twice. A consumer that does not keep up is served from the
// history, and from etcd when it is further behind than that; others do not notice. If the cache
// has to list its keys again (needed revisions were compacted during an outage, or the cluster was
// restored from a backup), the difference is delivered as one response marked Synthesized, as by
// [clientv3.NewResumingWatcher], here with PrevKv if requested. Only a consumer that was further
// behind than the history then gets [go.etcd.io/etcd/api/v3/v3rpc/rpctypes.ErrCompacted], as its
// last response.
//
// The channel is closed when ctx ends, and by [Cache.Close], both without a further response. If
// the watch fails in etcd, a response with Canceled comes before the channel is closed. A watch
// that keeps up has no goroutine. All watches and the copy share events and what they refer to: do
// not change them.
func (c *Cache) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if ctx == nil || ctx.Err() != nil || c.closed.Load() {
		return c.remote.Watch(ctx, key, opts...) // it returns the error
	}
	op := clientv3.OpWatch(key, opts...)
	start := string(op.KeyBytes())
	if start == "" {
		start = "\x00" // as the server takes it
	}
	s := spanOf(start, string(op.RangeBytes()))
	f := findRange(c.feeds, s)
	if f == nil || s.empty() || op.OptionsErr() != nil || op.Rev() < 0 {
		return c.remote.Watch(ctx, key, opts...)
	}
	w := newLocal(ctx, &op, s)
	if !f.hub.add(w, op.Rev()) {
		w.cancel()
		return c.remote.Watch(ctx, key, opts...)
	}
	return w.ch
}

// RequestProgress implements [clientv3.Watcher]: it asks the servers how far they are, and their
// answers notify the watches. Watches on the copy get no notification from servers whose progress
// cannot be believed (before 3.4.31 and 3.5.13) and from etcd's gRPC proxy.
func (c *Cache) RequestProgress(ctx context.Context) error {
	if ctx != nil && !c.closed.Load() {
		for _, f := range c.feeds {
			f.hub.ask()
		}
		if err := c.watcher.RequestProgress(c.group.Context()); err != nil {
			return err
		}
	}
	return c.remote.RequestProgress(ctx)
}
