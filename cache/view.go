package cache

// A view keeps the values of one prefix decoded. Its goroutine reads the hub's history from the
// view's own place on and decodes the changed values. If it falls behind the history, it compares
// the copy with its own items, and still decodes only what differs. What it publishes never
// changes, as a version does not.

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// View holds the keys with a prefix and their values, decoded as a program needs them; see
// [NewView]. All methods are safe for concurrent use; reads take no locks.
type View[T any] struct {
	f       *feed
	within  span
	decode  func(key string, value []byte) (T, error)
	indexes []indexer[T]
	now     atomic.Pointer[state[T]]
	ready   chan struct{}
	poked   chan struct{}
	ctx     context.Context // ends with Close and with the cache
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended

	mu       sync.Mutex
	advanced chan struct{} // guarded by mu: closed when the next state is there

	// The goroutine's own.
	items *btree.Map[string, *item[T]]
	bad   *btree.Map[string, error]
	seq   uint64
}

// item is a key with its value. Another kv means that it has changed.
type item[T any] struct {
	key   string
	kv    *mvccpb.KeyValue
	value T
	err   error // of decoding; then the item is among the bad ones
}

// state is what a view publishes.
type state[T any] struct {
	rev   int64
	epoch int

	items   *btree.Map[string, *item[T]]
	bad     *btree.Map[string, error]
	indexes []any // each Index knows its own
}

// NewView returns a view of the keys that begin with prefix, all of which must be in one prefix of
// the cache. One goroutine calls decode once for each value, also for keys that come and change
// later. decode must not keep or change the bytes. It may take its time, which delays only this
// view. If it returns an error, the view leaves the key out; see [View.Errors].
//
// The view is empty until it is ready ([View.WaitReady]). It ends with [View.Close] and with the
// cache. Each of indexes finds its values by something in them; an [Index] belongs to one view
// only.
func NewView[T any](
	c *Cache,
	prefix string,
	decode func(key string, value []byte) (T, error),
	indexes ...ViewIndex[T],
) (*View[T], error) {
	within := prefixSpan(prefix)
	f := findRange(c.feeds, within)
	if f == nil {
		return nil, invalid("cache.NewView", "no prefix of the cache has all keys with prefix %q", prefix)
	}
	if decode == nil {
		return nil, invalid("cache.NewView", "a view without a function that decodes")
	}
	v := &View[T]{
		f: f, within: within, decode: decode, ready: make(chan struct{}), poked: make(chan struct{}, 1),
		advanced: make(chan struct{}),
		items:    new(btree.Map[string, *item[T]]), bad: new(btree.Map[string, error]), done: make(chan struct{}),
	}
	for _, ix := range indexes {
		if ix == nil {
			return nil, invalid("cache.NewView", "an index is nil")
		}
		ixr, ok := ix.attach(v, len(v.indexes))
		if !ok {
			return nil, invalid("cache.NewView", "an index belongs to one view only")
		}
		v.indexes = append(v.indexes, ixr)
	}
	v.publish(0, 0)
	v.ctx, v.cancel = context.WithCancel(c.group.Context())
	if !f.hub.listen(v.poked) || !c.group.Go(func(context.Context) { defer close(v.done); v.run(v.ctx) }) {
		v.cancel()
		f.hub.leave(v.poked)
		return nil, errClosed("cache.NewView")
	}
	return v, nil
}

// Close ends the view and waits until decode has returned, so decode must not call it. The last
// state can still be read. A second Close does nothing.
func (v *View[T]) Close() {
	v.f.hub.leave(v.poked)
	v.cancel()
	<-v.done
}

// WaitReady waits until all present values have been decoded. It fails when ctx ends, and when the
// view or the cache is closed.
func (v *View[T]) WaitReady(ctx context.Context) error {
	select {
	case <-v.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-v.ctx.Done():
		return errClosed("cache.View")
	}
}

// Sync waits until the view has everything that was written before the call. It fails when ctx
// ends, and when the view or the cache is closed.
func (v *View[T]) Sync(ctx context.Context) error {
	if err := v.WaitReady(ctx); err != nil {
		return err
	}
	to, err := v.f.sync(ctx)
	if err != nil {
		return err
	}
	for {
		v.mu.Lock()
		next := v.advanced
		v.mu.Unlock()
		if s := v.now.Load(); s.epoch > to.epoch || (s.epoch == to.epoch && s.rev >= to.rev) {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		case <-v.ctx.Done():
			return errClosed("cache.View")
		}
	}
}

// Get returns a key's value; ok is false if the key does not exist or decode refused its value.
func (v *View[T]) Get(key string) (value T, ok bool) {
	it, ok := v.now.Load().items.Get(key)
	if !ok {
		return value, false
	}
	return it.value, true
}

// All returns the keys and values of one revision, in the order of the keys.
func (v *View[T]) All() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		v.now.Load().items.Scan(func(key string, it *item[T]) bool { return yield(key, it.value) })
	}
}

// Len is the number of values.
func (v *View[T]) Len() int { return v.now.Load().items.Len() }

// Revision is the store's revision up to which the view has all changes.
func (v *View[T]) Revision() int64 { return v.now.Load().rev }

// Errors returns the keys whose values decode refused, with decode's errors. It is empty if all is
// well.
func (v *View[T]) Errors() map[string]error {
	all := make(map[string]error)
	v.now.Load().bad.Scan(func(key string, err error) bool { all[key] = err; return true })
	return all
}

func (v *View[T]) run(ctx context.Context) {
	select {
	case <-v.f.ready:
	case <-ctx.Done():
		return
	}
	v.compare()
	close(v.ready)
	for {
		select {
		case <-v.poked:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			batches, to, lost := v.f.hub.since(&v.seq)
			if lost {
				v.compare()
				continue
			}
			for _, b := range batches {
				v.apply(b)
			}
			if s := v.now.Load(); to != nil && (to.rev > s.rev || to.epoch != s.epoch) {
				v.publish(to.rev, to.epoch)
			}
			if len(batches) == 0 {
				break
			}
		}
	}
}

// compare makes the view equal to the copy.
func (v *View[T]) compare() {
	to := v.f.hub.here(&v.seq)
	var there []string // keys that no longer exist
	note := func(key string) {
		if _, ok := to.keys.Get(key); !ok {
			there = append(there, key)
		}
	}
	v.items.Scan(func(key string, _ *item[T]) bool { note(key); return true })
	v.bad.Scan(func(key string, _ error) bool { note(key); return true })
	for _, key := range there {
		v.drop(key)
	}
	to.scan(v.within, func(key string, kv *mvccpb.KeyValue) bool {
		if it, ok := v.items.Get(key); !ok || it.kv != kv {
			v.set(key, kv)
		}
		return true
	})
	v.publish(to.rev, to.epoch)
}

func (v *View[T]) apply(b *batch) {
	for _, e := range b.plain {
		key := string(e.Kv.Key)
		switch {
		case !v.within.has(key):
		case e.Type == clientv3.EventTypeDelete:
			v.drop(key)
		default:
			v.set(key, e.Kv)
		}
	}
}

func (v *View[T]) set(key string, kv *mvccpb.KeyValue) {
	it := &item[T]{key: key, kv: kv}
	it.value, it.err = v.decode(key, kv.Value)
	if it.err != nil {
		v.drop(key)
		v.bad.Set(key, it.err)
		return
	}
	old, _ := v.items.Set(key, it)
	v.bad.Delete(key)
	for _, ix := range v.indexes {
		ix.update(old, it)
	}
}

func (v *View[T]) drop(key string) {
	old, _ := v.items.Delete(key)
	v.bad.Delete(key)
	if old != nil {
		for _, ix := range v.indexes {
			ix.update(old, nil)
		}
	}
}

func (v *View[T]) publish(rev int64, epoch int) {
	s := &state[T]{rev: rev, epoch: epoch, items: v.items.Copy(), bad: v.bad.Copy()}
	for _, ix := range v.indexes {
		s.indexes = append(s.indexes, ix.publish())
	}
	v.now.Store(s)
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.advanced)
	v.advanced = make(chan struct{})
}
