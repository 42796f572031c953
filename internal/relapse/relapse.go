// Package relapse is for owners of leases over a restored etcd. A backup may have a lease with keys
// that its owner has deleted since. The restored keys then live as long as the lease is renewed,
// although nobody needs them: for example a lock without an owner, for which others wait. So when a
// renewal may come from another history than the one before, the owner reads the keys of its lease,
// and deletes again those that have ended.
package relapse

import (
	"container/list"
	"context"
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/lease"
)

// Owner returns the context for the KeepAlive of an owner: a server that was restored ends its
// streams, and the next renewal comes soon after.
func Owner(ctx context.Context) context.Context { return lease.Hasty(ctx) }

// Ear observes the renewals of a lease. The zero value has observed none. It is not safe for
// concurrent use.
type Ear struct {
	cluster, term uint64
	revision      int64
	streams       uint64
}

// Hear reports whether the header of a renewal by l may be of another history than the one before:
// it is of another cluster, has a lower raft term or revision, or came on a new stream; or, once a
// key of the lease has ended at revision ended (0: none), has a lower revision than that, or came
// through what may be a proxy, which hides all else. Members that lag or change are reasons too, so
// it is not a proof.
func (e *Ear) Hear(h *pb.ResponseHeader, l any, ended int64) bool {
	was := *e
	*e = Ear{h.GetClusterId(), h.GetRaftTerm(), h.GetRevision(), Streams(l)}
	return was != Ear{} && (e.cluster != was.cluster || e.term < was.term || e.revision < was.revision ||
		e.streams != was.streams || ended > 0 && (e.revision < ended || Proxied(l)))
}

// Streams returns how many streams a clientv3.Lease has opened; 0: unknown.
func Streams(l any) uint64 {
	if s, ok := l.(interface{ Streams() uint64 }); ok {
		return s.Streams()
	}
	return 0
}

// Proxied reports whether the server of a clientv3.Lease is a proxy, or may be one.
func Proxied(l any) bool {
	p, ok := l.(interface{ Proxied() bool })
	return ok && p.Proxied()
}

// Spread is the time over which owners spread their reads, since many of them have a reason at
// once.
const Spread = 3 * time.Second

// mostEnded is how many keys an Ended holds.
const mostEnded = 10_000

// Ended holds the keys of a lease that ended last. The zero value is empty. It is not safe for
// concurrent use.
type Ended struct {
	keys  map[string]*list.Element
	order list.List // of *end, the key that ended last at the end
	notes uint64
	// newest is the highest revision that was noted.
	newest int64
}

// end is a key that has ended.
type end struct {
	key  string
	rev  int64
	note uint64 // which note it was
}

// Note adds a key that has ended, with all revisions up to rev.
func (e *Ended) Note(key string, rev int64) {
	if e.keys == nil {
		e.keys = make(map[string]*list.Element)
	}
	e.notes++
	e.newest = max(e.newest, rev)
	if is := e.keys[key]; is != nil {
		is.Value = &end{key, rev, e.notes}
		e.order.MoveToBack(is)
		return
	}
	e.keys[key] = e.order.PushBack(&end{key, rev, e.notes})
	if e.order.Len() > mostEnded {
		first := e.order.Front()
		delete(e.keys, e.order.Remove(first).(*end).key)
	}
}

// Notes returns how many notes were made, for Lower.
func (e *Ended) Notes() uint64 { return e.notes }

// Lower says that rev was the present revision after so many notes. A history that was restored to
// an earlier revision gives the revisions that were noted before to new keys.
func (e *Ended) Lower(notes uint64, rev int64) {
	for is := e.order.Front(); is != nil; is = is.Next() {
		if k := is.Value.(*end); k.note <= notes {
			k.rev = min(k.rev, rev)
		}
	}
	if notes == e.notes {
		e.newest = min(e.newest, rev)
	}
}

// Newest returns the highest revision with which a key has ended. A member whose revision is lower
// lags, or has another history.
func (e *Ended) Newest() int64 { return e.newest }

// Rev returns the revision with which a key has ended; 0: it is not known to have ended.
func (e *Ended) Rev(key string) int64 {
	if is := e.keys[key]; is != nil {
		return is.Value.(*end).rev
	}
	return 0
}

// Len returns the number of keys.
func (e *Ended) Len() int { return len(e.keys) }

// Keys returns the keys, in no order.
func (e *Ended) Keys() []string { return slices.Collect(maps.Keys(e.keys)) }
