package etcdv3

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// returnHold is how long values stay known that a wiped or restored etcd does not have, counted
// from its return: services that are alive register again within their TTL.
const returnHold = defaultTTL

// differ is what a Client of this package can do beyond the interface: it reports changes, not
// just that there was one.
type differ interface {
	// follow runs until ctx ends. It calls set with all values by key, then change for each value
	// that came, changed or went (nil), and failed with an error that keeps it from either. After
	// the changes of one answer it calls done once.
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
	f := &follower{c: c, prefix: prefix, to: to, held: make(map[string]bool)}
	for ctx.Err() == nil {
		if err := f.once(ctx); err != nil && ctx.Err() == nil {
			to.failed(err)
		}
		pause(ctx, watchAgain)
	}
}

// follower follows a prefix for a receiver. It belongs to one goroutine.
type follower struct {
	c      *client
	prefix string
	to     receiver

	known map[string]string // what the receiver has
	held  map[string]bool   // keys of known that etcd does not have
	until time.Time         // when held ends
	lost  bool              // the watch ended because etcd has lost history
}

// once lists and watches until the watch ends.
func (f *follower) once(ctx context.Context) error {
	listed, err := f.list(ctx)
	if err != nil {
		return err
	}
	var over <-chan time.Time
	if len(f.held) > 0 {
		timer := time.NewTimer(time.Until(f.until))
		defer timer.Stop()
		over = timer.C
	}
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	changes := f.c.cli.Watch(wctx, f.prefix, clientv3.WithPrefix(), clientv3.WithListing(listed))
	for {
		select {
		case w, open := <-changes:
			if !open {
				return nil // list again: compacted, say
			}
			f.lost = f.lost || errors.Is(w.Err(), clientv3.ErrHistoryLost)
			f.apply(w.Events)
		case <-over:
			f.release()
		}
	}
}

// list reads what is stored. If the cluster has lost history, list holds what it no longer has.
func (f *follower) list(ctx context.Context) (*clientv3.Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	listed := clientv3.NewListing(0)
	r, err := f.c.cli.Get(ctx, f.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	listed.Add(r)
	values := make(map[string]string, len(r.Kvs))
	for _, kv := range r.Kvs {
		values[string(kv.Key)] = string(kv.Value)
	}
	if f.lost {
		f.lost, f.until = false, time.Now().Add(returnHold)
		for key := range f.known {
			f.held[key] = true
		}
	}
	for key := range f.held {
		if _, there := values[key]; there || !time.Now().Before(f.until) {
			delete(f.held, key)
			continue
		}
		values[key] = f.known[key]
	}
	f.known = maps.Clone(values) // the receiver keeps values
	f.to.set(values)
	return listed, nil
}

func (f *follower) apply(events []*clientv3.Event) {
	for _, ev := range events {
		key := string(ev.Kv.Key)
		delete(f.held, key)
		if ev.Type == clientv3.EventTypeDelete {
			f.forget(key)
			continue
		}
		v := string(ev.Kv.Value)
		f.known[key] = v
		f.to.change(key, &v)
	}
	if len(events) > 0 {
		f.to.done()
	}
}

func (f *follower) forget(key string) {
	delete(f.known, key)
	f.to.change(key, nil)
}

// release forgets the values that did not come back.
func (f *follower) release() {
	if len(f.held) == 0 {
		return
	}
	for key := range f.held {
		f.forget(key)
	}
	clear(f.held)
	f.to.done()
}
