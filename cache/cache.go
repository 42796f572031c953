package cache

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/realkeys"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// DefaultHistoryEvents (a count) and DefaultHistoryBytes limit the history of events that a
	// cache keeps for each prefix: enough for a watch that was away for a few seconds of a busy
	// store.
	DefaultHistoryEvents = 10_000
	DefaultHistoryBytes  = 16 << 20
)

// Cache is a copy of the keys with some prefixes. It implements [clientv3.KV] and
// [clientv3.Watcher]. All methods are safe for concurrent use. [New] makes one; [Cache.Close] ends
// it.
type Cache struct {
	client  *clientv3.Client
	kv      clientv3.KV
	watcher clientv3.Watcher // for the feeds, which ask it for progress again and again
	remote  clientv3.Watcher // for watches that the copy cannot serve
	own     bool             // both are ours, and closed with the cache
	group   *worker.Group
	feeds   []*feed // in the order of their prefixes; never changed
	trust   trust
	epoch   time.Time    // has a monotonic reading: clocks may jump
	marking atomic.Int64 // nanoseconds since epoch: when the last read for a mark was sent; see age.go
	closed  atomic.Bool

	historyEvents int
	historyBytes  int64
	refused       error // an option makes no sense
}

var (
	_ clientv3.KV      = (*Cache)(nil)
	_ clientv3.Watcher = (*Cache)(nil)
)

// Option changes what [New] makes.
type Option func(*Cache)

// WithHistory sets how many of the latest events the cache keeps for each prefix, and how many
// bytes they may take; both must be 1 or more. Without it [DefaultHistoryEvents] and
// [DefaultHistoryBytes] apply. The history serves watches that begin in the past or fall behind.
func WithHistory(events int, bytes int64) Option {
	return func(c *Cache) {
		if events < 1 || bytes < 1 {
			c.refused = invalid("cache.New", "a history of %d events and %d bytes", events, bytes)
		}
		c.historyEvents, c.historyBytes = events, bytes
	}
}

// WithSource makes the cache read and watch through a KV and a Watcher instead of the client's
// connection, for instance those of [github.com/fairlead-go/fairlead/clientv3/namespace]. Both must
// show the same keys, and neither may be nil. The cache does not close them.
// The cache sends its requests for progress through the Watcher, so the Watcher's other watches see
// the answers too.
func WithSource(kv clientv3.KV, w clientv3.Watcher) Option {
	return func(c *Cache) {
		if kv == nil || w == nil {
			c.refused = invalid("cache.New", "a source needs both a KV and a Watcher")
		}
		c.kv, c.watcher, c.remote, c.own = kv, w, w, false
	}
}

// New returns a cache of the keys that begin with any of the prefixes. The empty prefix stands for
// all keys; no prefix may begin with another. New returns at once: until the keys are there
// ([Cache.WaitReady]), reads are sent to etcd. Close the cache before the client.
//
// The cache reads and watches over the client's connections, with watch streams of its own, and not
// through the fields KV and Watcher of the client (see [WithSource]). New fails for a nil client,
// without a prefix, if prefixes overlap, and for an invalid option; and without WithSource if the
// client's KV gives keys other names, as one of package namespace does.
func New(client *clientv3.Client, prefixes []string, opts ...Option) (*Cache, error) {
	if client == nil {
		return nil, invalid("cache.New", "the client is nil")
	}
	list, err := sortedPrefixes(prefixes)
	if err != nil {
		return nil, err
	}
	c := &Cache{
		client:        client,
		epoch:         time.Now(),
		historyEvents: DefaultHistoryEvents,
		historyBytes:  DefaultHistoryBytes,
		own:           true,
	}
	c.trust.c = c
	for _, o := range opts {
		if o == nil {
			return nil, invalid("cache.New", "an option is nil")
		}
		o(c)
	}
	if c.refused != nil {
		return nil, c.refused
	}
	if c.kv == nil {
		if err := sameNames(client, list); err != nil {
			return nil, err
		}
		c.kv, c.watcher, c.remote = clientv3.NewKV(client), clientv3.NewWatcher(client), clientv3.NewWatcher(client)
	}
	c.group = worker.New(client.Ctx())
	for _, p := range list {
		c.feeds = append(c.feeds, newFeed(c, p))
	}
	c.trust.refresh()
	c.group.Go(c.keepMarking)
	for _, f := range c.feeds {
		c.group.Go(f.run)
	}
	return c, nil
}

// sameNames returns an error if the client's KV gives keys other names than etcd.
func sameNames(client *clientv3.Client, prefixes []string) error {
	if client.KV == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // a KV that is not ours must not read
	for _, p := range prefixes {
		if real := realkeys.Of(ctx, client.KV, p); real != p {
			return invalid("cache.New",
				"the client's KV names the prefix %q in etcd %q: pass it and its Watcher with WithSource", p, real)
		}
	}
	return nil
}

// WaitReady waits until the keys of all prefixes are there. It fails when ctx ends, when the cache
// is closed, and at once when etcd refuses to show the keys (permission denied, for instance). It
// waits for the end of an outage.
func (c *Cache) WaitReady(ctx context.Context) error {
	for _, f := range c.feeds {
		if c.closed.Load() {
			break
		}
		select {
		case <-f.ready:
			continue
		default:
		}
		select {
		case <-f.ready:
		case <-f.denied:
			return f.denial()
		case <-ctx.Done():
			return ctx.Err()
		case <-c.group.Context().Done():
			return errClosed("cache.WaitReady")
		}
	}
	if c.closed.Load() {
		return errClosed("cache.WaitReady")
	}
	return nil
}

// Close ends all watches and views of the cache and waits until its goroutines have ended. The
// client stays open. Later reads and watches fail with an error whose cause is
// [clientv3.ErrClosed]; [Cache.Snapshot] and views still show the last state. A second Close does
// nothing.
func (c *Cache) Close() error {
	c.closed.Store(true)
	for _, f := range c.feeds {
		f.hub.close()
	}
	c.group.Stop()
	if c.own {
		return errors.Join(c.watcher.Close(), c.remote.Close())
	}
	return nil
}

var errCompacted = rpctypes.ErrCompacted

func errClosed(method string) error {
	return &clientv3.Error{Method: method, Status: codes.Canceled, Cause: clientv3.ErrClosed, Unexecuted: true}
}
