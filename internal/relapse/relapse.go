// Package relapse is for owners of leases over a restored etcd. A backup may have a lease with keys
// that its owner has deleted since. The restored keys then live as long as the lease is renewed,
// although nobody needs them: for example a lock without an owner, for which others wait. So when a
// renewal may come from another history than the one before, the owner reads the keys of its lease,
// and deletes again those that have ended.
package relapse

import (
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Ear observes the renewals of a lease. The zero value has observed none. It is not safe for
// concurrent use.
type Ear struct {
	cluster, term uint64
	revision      int64
	streams       uint64
}

// Hear reports whether the header of a renewal by l may be of another history than the one before:
// it is of another cluster, has a lower raft term or revision, or came on a new stream. Members
// that lag or change are reasons too, so it is not a proof.
func (e *Ear) Hear(h *pb.ResponseHeader, l any) bool {
	was := *e
	*e = Ear{h.GetClusterId(), h.GetRaftTerm(), h.GetRevision(), Streams(l)}
	return was != Ear{} && (e.cluster != was.cluster || e.term < was.term || e.revision < was.revision ||
		e.streams != was.streams)
}

// Streams returns how many streams a clientv3.Lease has opened; 0: unknown.
func Streams(l any) uint64 {
	if s, ok := l.(interface{ Streams() uint64 }); ok {
		return s.Streams()
	}
	return 0
}

// Spread is the time over which owners spread their reads, since many of them have a reason at
// once.
const Spread = 3 * time.Second

// mostEnded is how many keys an Ended holds.
const mostEnded = 10_000

// Ended holds the keys of a lease that ended last. The zero value is empty. It is not safe for
// concurrent use.
type Ended struct {
	revs  map[string]int64
	order []string // a ring, once it is full
	next  int
}

// Note adds a key that has ended, with all revisions up to rev.
func (e *Ended) Note(key string, rev int64) {
	if e.revs == nil {
		e.revs = make(map[string]int64)
	}
	_, known := e.revs[key]
	e.revs[key] = rev
	switch {
	case known:
	case len(e.order) < mostEnded:
		e.order = append(e.order, key)
	default:
		delete(e.revs, e.order[e.next])
		e.order[e.next] = key
		e.next = (e.next + 1) % mostEnded
	}
}

// Rev returns the revision with which a key has ended; 0: it is not known to have ended.
func (e *Ended) Rev(key string) int64 { return e.revs[key] }

// Len returns the number of keys.
func (e *Ended) Len() int { return len(e.revs) }

// Keys returns the keys, in no order.
func (e *Ended) Keys() []string { return slices.Collect(maps.Keys(e.revs)) }
