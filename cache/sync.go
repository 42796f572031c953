package cache

// This file brings the copy up to date for snapshots and views, which need the copy itself: an
// answer from etcd would not do. If the gate gives up, since the servers do not say how far they
// are, a read of the prefix decides. If at some revision its newest key is not newer than the copy,
// all its keys are in the copy as they are; if there are also as many of them, none was deleted. So
// the copy is right as of that revision, unless etcd has another history by now: then the newest
// key is not in the copy, or is different there. This costs the server a look at all keys of the
// prefix, so it is not for ordinary reads.

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// syncWait is the wait between tries to bring the copy up to date; each takes a while too.
var syncWait = backoff.Policy{Base: 10 * time.Millisecond, Max: time.Second}

// assurance says that a version's keys are right as of a header's revision.
type assurance struct {
	keys *tree
	h    *pb.ResponseHeader
}

// sync waits for a version that has everything written before the call.
func (f *feed) sync(ctx context.Context) (*version, error) {
	for n := 0; ; n++ {
		v, err := f.gate.consistent(ctx)
		if v == nil && err == nil {
			v, err = f.compare(ctx)
		}
		if v != nil || err != nil {
			return v, err
		}
		if f.c.closed.Load() {
			return nil, errClosed("cache.Sync")
		}
		if err := backoff.Sleep(ctx, syncWait.Wait(n)); err != nil {
			return nil, err
		}
	}
}

// compare reads whether the copy has everything. It returns nil without an error if not yet.
func (f *feed) compare(ctx context.Context) (*version, error) {
	v := f.now.Load()
	try, cancel := context.WithTimeout(ctx, pageTry)
	defer cancel()
	r, err := f.c.kv.Get(try, f.span.start, clientv3.WithRange(f.span.rangeEnd()), clientv3.WithLimit(1),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, nil // tried again until ctx ends
	case r.Header.Revision < v.rev || r.Header.ClusterId != v.header.ClusterId:
		f.suspect(v)
		return nil, nil
	case len(r.Kvs) > 0 && r.Kvs[0].ModRevision > v.rev || r.Count != int64(v.keys.Len()):
		return nil, nil // events are under way
	case len(r.Kvs) > 0 && !v.has(r.Kvs[0]):
		f.suspect(v) // nothing was changed since, so it is another history
		return nil, nil
	}
	select {
	case f.assured <- assurance{v.keys, r.Header}:
		return v.at(r.Header), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-f.c.group.Context().Done():
		return nil, errClosed("cache.Sync")
	}
}

// assure takes an assurance, in the feed's goroutine. If events have come since, the copy is newer.
func (f *feed) assure(a assurance) {
	old := f.now.Load()
	if old.keys != a.keys || a.h.Revision <= old.rev {
		return
	}
	v := old.at(a.h)
	f.core.rev = v.rev
	f.publish(v)
	f.hub.progress(v)
}
