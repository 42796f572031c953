package leasing

// The watch on the leasing prefix. It reports requests of other processes for keys that are owned
// here, deletions, and leasing keys that were put by failed requests.

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

const listTry = 5 * time.Second

// watchWait is the wait before a watch that ended by itself is opened again.
var watchWait = backoff.Policy{Base: 20 * time.Millisecond, Max: time.Second}

// follow watches the leasing prefix after a listing of it until ctx ends.
func (l *leasing) follow(ctx context.Context, listed *v3.Listing) {
	for failures := 0; ; failures++ {
		if l.watch(ctx, listed) {
			failures = 0
		}
		for {
			if backoff.Sleep(ctx, watchWait.Wait(failures)) != nil {
				return
			}
			var err error
			if listed, err = l.relist(ctx); err == nil {
				break
			}
			failures++
		}
	}
}

// watch watches the leasing prefix until that ends: the revision was compacted, permission was
// denied, the server ended the watch, ctx ended, or the history may be another. Then requests of
// others may have come in it while the watch waited for later revisions. watch reports whether it
// worked.
func (l *leasing) watch(ctx context.Context, listed *v3.Listing) (worked bool) {
	w := follow.Open(ctx, l.watcher, l.pfx, v3.WithPrefix(), v3.WithListing(listed))
	defer w.Close()
	var changes v3.WatchChan
	var again <-chan time.Time
	for {
		select {
		case changes = <-w.Opened:
		case r, ok := <-changes:
			if errors.Is(r.Err(), v3.ErrHistoryLost) {
				l.lost()
			}
			if !ok || r.Err() != nil {
				return worked
			}
			worked = true
			l.mu.Lock()
			for _, e := range r.Events {
				l.see((*mvccpb.Event)(e))
			}
			l.mu.Unlock()
		case <-l.doubt:
			if again == nil { // many processes have a reason at once
				again = time.After(rand.N(relapse.Spread))
			}
		case <-again:
			return true
		}
	}
}

// see handles an event. The caller holds mu.
func (l *leasing) see(ev *mvccpb.Event) {
	lk, rev := string(ev.Kv.Key), ev.Kv.ModRevision
	key := strings.TrimPrefix(lk, l.pfx)
	if ev.Type == mvccpb.Event_DELETE {
		if e := l.owned[key]; e != nil && rev > e.fence {
			l.drop(key, e)
		}
		if a := l.asking[key]; a != nil {
			a.revoked = rev
		}
		for w := range l.waiters {
			w.deleted(lk, rev)
		}
		return
	}
	if rev > ev.Kv.CreateRevision {
		l.hush(key) // even if another process owns it: the process that asks for it can take it then
	}
	l.put(key, ev.Kv)
}

// put handles a leasing key that exists or existed. The caller holds mu.
func (l *leasing) put(key string, kv *mvccpb.KeyValue) {
	if l.term == nil || v3.LeaseID(kv.Lease) != l.term.lease {
		return
	}
	revoked := kv.ModRevision > kv.CreateRevision
	if e := l.owned[key]; e != nil && e.fence >= kv.CreateRevision {
		if revoked && e.fence == kv.CreateRevision {
			l.relinquish(key, e)
		}
		return
	}
	if a := l.asking[key]; a != nil {
		a.created = kv.CreateRevision
		if revoked {
			a.revoked = kv.ModRevision
		}
		return
	}
	l.leave(key, kv.CreateRevision) // no request asks for it any more
}

// relist compares the owned keys with the leasing keys in etcd, and returns these.
func (l *leasing) relist(ctx context.Context) (*v3.Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, listTry)
	defer cancel()
	l.mu.RLock()
	t := l.term
	var in history
	if t != nil {
		in = l.history(t)
	}
	l.mu.RUnlock()
	listed := v3.NewListing(0)
	r, err := l.inner.Get(ctx, l.pfx, v3.WithPrefix())
	if err != nil {
		return nil, err
	}
	listed.Add(r)
	rev := r.Header.Revision
	found := make(map[string]*mvccpb.KeyValue, len(r.Kvs))
	for _, kv := range r.Kvs {
		found[strings.TrimPrefix(string(kv.Key), l.pfx)] = kv
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, e := range l.owned {
		kv := found[key]
		switch {
		case kv != nil && kv.CreateRevision == e.fence && v3.LeaseID(kv.Lease) == e.t.lease:
		case e.fence <= rev:
			l.drop(key, e)
		case e.t == t && e.in < in: // of revisions that are still to come in this history
			l.relinquish(key, e)
		}
	}
	for key, a := range l.asking {
		if found[key] == nil {
			a.revoked = rev // if it was put before, it was deleted again
		}
	}
	for key, kv := range found {
		l.put(key, kv)
	}
	for w := range l.waiters {
		w.retry = true
		w.wake()
	}
	return listed, nil
}
