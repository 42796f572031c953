package cache

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Watch implements clientv3.Watcher: the changes of a key, or of a range of keys within one
// prefix of the cache, as the cache receives them, so that any number of watches cost etcd
// one. All options are as for a watch in etcd; WithFragment has no effect.
//
// Without WithRev it begins with the first change that the copy does not have yet. Programs
// that have read from the cache go on with WithRev and the response's revision + 1. What
// reaches back further than the cache's history ([WithHistory]), is not within one prefix, is
// an empty range, or is asked before the cache is ready, is watched in etcd, which needs the
// server's watch but is otherwise the same.
//
// Nothing is lost and nothing comes twice. A consumer that does not keep up is served from
// the history, and from etcd when it is further behind than that; others do not notice. If
// the cache has to list its keys again (revisions that it needs were compacted during an outage, or
// the cluster was restored from a backup), the difference is delivered as one response marked
// Synthesized, as by clientv3.NewResumingWatcher, here with PrevKv if asked for. Only a consumer
// that was further behind than the history then gets rpctypes.ErrCompacted, as its last response.
//
// The channel is closed when ctx ends, and by Close, both without a further response; after
// one that is Canceled if the watch fails in etcd. A watch that keeps up has no goroutine.
// Events and what they refer to are shared by all watches and the copy: they must not be
// changed.
func (c *Cache) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if ctx == nil || ctx.Err() != nil || c.closed.Load() {
		return c.remote.Watch(ctx, key, opts...) // it says what is wrong
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

// RequestProgress implements clientv3.Watcher: the servers are asked how far they are, and
// the watches are notified. Servers whose word is not good (before 3.4.31 and 3.5.13) and
// etcd's gRPC proxy do not make the watches on the copy say anything.
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
