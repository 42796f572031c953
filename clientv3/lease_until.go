package clientv3

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/internal/lease"
)

// WithUntilExpired returns a context with which KeepAlive goes on when no renewal was acknowledged
// for a whole TTL: its channel is closed only when the server says that the lease is gone, when
// ctx ends, or when the client is closed. The lease is not revoked for that. After an outage of
// etcd a new leader gives every lease its full TTL again, and its keys were never gone.
//
// It is for holders who do not mind that somebody else may have the keys by then, and who learn of
// that in another way: announcements, not locks. [LeaseValidUntil] says whether the lease certainly
// exists.
func WithUntilExpired(ctx context.Context) context.Context {
	return lease.Persist(ctx)
}

// LeaseValidUntil returns until when a lease that l keeps alive certainly exists: nobody
// can have been given its keys before, unless the lease is revoked by somebody. It is the
// time at which the channel of KeepAlive is closed if no further renewal is acknowledged:
// the TTL counted from the sending of the last acknowledged one. false: the lease is not
// kept alive, nothing has been acknowledged yet, or l does not know.
//
// A goroutine closes the channel, and may be late, for instance when the process was stopped for a
// while. A program that must not act on an expired lease looks at the clock instead, after the act
// or after the read that it is based on:
//
//	value := cached()
//	if until, ok := clientv3.LeaseValidUntil(cli, id); !ok || time.Now().After(until) {
//		// value may be out of date
//	}
//
// The time has a monotonic reading. On some systems (Linux among them) the monotonic clock stands
// still while the machine is suspended; that is noticed by the wall clock, and counted. So a wall
// clock that is set ahead by half a second or more makes leases look older until their next
// renewal, which is sent within a second; set back, it has no influence.
//
// An l of another package can answer if it has a method
// ValidUntil(LeaseID) (time.Time, bool).
func LeaseValidUntil(l Lease, id LeaseID) (time.Time, bool) {
	if c, ok := l.(*Client); ok && c != nil {
		l = c.Lease // its methods are those of the interface only
	}
	h, ok := l.(interface {
		ValidUntil(LeaseID) (time.Time, bool)
	})
	if !ok {
		return time.Time{}, false
	}
	return h.ValidUntil(id)
}

// ValidUntil answers [LeaseValidUntil].
func (l *lessor) ValidUntil(id LeaseID) (time.Time, bool) {
	until, ok := l.engine.HeldUntil(int64(id))
	if !ok {
		return time.Time{}, false
	}
	return until, true
}
