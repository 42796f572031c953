package leasing

// The watch on the leasing prefix. It reports requests of other processes for keys that are owned
// here, deletions, and leasing keys that were put by failed requests.

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

const listTry = 5 * time.Second

// watchWait is the wait before a watch that ended by itself is opened again.
var watchWait = backoff.Policy{Base: 20 * time.Millisecond, Max: time.Second}

// follow watches the leasing prefix after rev until ctx ends.
func (l *leasing) follow(ctx context.Context, rev int64) {
	for failures := 0; ; failures++ {
		for r := range l.watcher.Watch(ctx, l.pfx, v3.WithPrefix(), v3.WithRev(rev+1)) {
			if r.Err() != nil {
				break
			}
			failures = 0
			l.mu.Lock()
			for _, e := range r.Events {
				l.see((*mvccpb.Event)(e))
			}
			l.mu.Unlock()
			rev = max(rev, r.Header.Revision)
		}
		// The revision was compacted, permission was denied, the server ended the watch, or ctx
		// ended.
		for {
			if backoff.Sleep(ctx, watchWait.Wait(failures)) != nil {
				return
			}
			seen, err := l.relist(ctx)
			if err == nil {
				rev = seen
				break
			}
			failures++
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

// relist compares the owned keys with the leasing keys in etcd, and returns the revision of the
// comparison.
func (l *leasing) relist(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, listTry)
	defer cancel()
	r, err := l.inner.Get(ctx, l.pfx, v3.WithPrefix())
	if err != nil {
		return 0, err
	}
	rev := r.Header.Revision
	found := make(map[string]*mvccpb.KeyValue, len(r.Kvs))
	for _, kv := range r.Kvs {
		found[strings.TrimPrefix(string(kv.Key), l.pfx)] = kv
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, e := range l.owned {
		if kv := found[key]; e.fence <= rev && (kv == nil || kv.CreateRevision != e.fence) {
			l.drop(key, e)
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
	return rev, nil
}
