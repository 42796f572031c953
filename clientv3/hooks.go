package clientv3

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/lease"
	"github.com/fairlead-go/fairlead/internal/retry"
)

// Hooks let a program see what happens inside the client: for metrics, traces and
// logs. [JoinHooks] combines several. A hook that is nil costs nothing. Hooks are called
// from the client's own goroutines, several at once; they must return soon and must not
// call the client.
type Hooks struct {
	// Attempt is called after each attempt of a unary call: also for those that the
	// client repeats or sends twice by itself.
	Attempt func(AttemptInfo)

	// Member is called after a member's state has changed.
	Member func(MemberChange)

	// Stream is called when a stream that carries watches or renewals was opened on a
	// member, and when it ended although it was still needed.
	Stream func(StreamInfo)

	// Watch is called when a watch was confirmed for the first time and when it ended.
	// Stream is called for what happens in between.
	Watch func(WatchInfo)

	// Lease is called for the leases of Grant and KeepAlive.
	Lease func(LeaseInfo)
}

// JoinHooks returns hooks that call those of all, in their order. A hook that none of them has
// stays nil and costs nothing.
func JoinHooks(all ...Hooks) Hooks {
	var joined Hooks
	for _, h := range all {
		joined = Hooks{
			Attempt: join(joined.Attempt, h.Attempt),
			Member:  join(joined.Member, h.Member),
			Stream:  join(joined.Stream, h.Stream),
			Watch:   join(joined.Watch, h.Watch),
			Lease:   join(joined.Lease, h.Lease),
		}
	}
	return joined
}

func join[T any](first, next func(T)) func(T) {
	switch {
	case first == nil:
		return next
	case next == nil:
		return first
	}
	return func(v T) {
		first(v)
		next(v)
	}
}

// AttemptInfo describes one attempt of a unary call.
type AttemptInfo struct {
	Method string        // "KV.Put"
	Member string        // endpoint, "" if no member was available
	Number int           // from 0; above it, a repetition
	Hedge  bool          // the second request of an attempt that took unusually long
	Took   time.Duration // of this attempt
	Err    error         // as the server or gRPC gave it; nil if it succeeded
}

// MemberChange describes a change of a member's state.
type MemberChange struct {
	Endpoint string
	From, To MemberState
	Err      error // why
}

// StreamInfo describes the beginning or end of a stream.
type StreamInfo struct {
	Service string // "Watch" or "Lease"
	Member  string // endpoint
	Ended   bool
	Err     error // why it ended or could not be opened; nil when it was opened
}

// WatchInfo describes the beginning or end of one watch.
type WatchInfo struct {
	Key, RangeEnd string // as in the request; RangeEnd is empty for a single key
	Began         bool   // it was confirmed; a watch that fails before only ends
	Ended         bool
	Err           error // why it failed; nil when it began or was cancelled
}

// LeaseEvent says what happened to a lease.
type LeaseEvent int

const (
	LeaseGranted  LeaseEvent = iota + 1 // by Grant
	LeaseRenewed                        // a renewal was acknowledged
	LeaseAtRisk                         // a renewal was not acknowledged as it should have been; it is tried elsewhere
	LeaseRestored                       // a renewal was acknowledged, after LeaseAtRisk
	LeaseLost                           // it expired, was revoked elsewhere, or could not be renewed in time
	LeaseEnded                          // its renewal ended as asked for: revoked, context ended, client closed
)

// String returns "granted", "renewed", "at risk", "restored", "lost" or "ended".
func (e LeaseEvent) String() string {
	switch e {
	case LeaseGranted:
		return "granted"
	case LeaseRenewed:
		return "renewed"
	case LeaseAtRisk:
		return "at risk"
	case LeaseRestored:
		return "restored"
	case LeaseLost:
		return "lost"
	case LeaseEnded:
		return "ended"
	}
	return "unknown"
}

// LeaseInfo describes what happened to a lease.
type LeaseInfo struct {
	ID     LeaseID
	Event  LeaseEvent
	TTL    int64  // seconds, of a grant or renewal
	Reason string // of a loss or end: "expired", "revoked", "unrenewed", "halted", "closed" or "cancelled"
	Err    error  // what is known beyond the reason; may be nil
}

// observeAttempt returns what the attempts call, nil if nobody listens.
func (c *Client) observeAttempt() func(retry.Observation) {
	hook := c.cfg.Hooks.Attempt
	if hook == nil {
		return nil
	}
	return func(o retry.Observation) { hook(AttemptInfo(o)) }
}

func (c *Client) observeMember() func(balancer.Change) {
	hook := c.cfg.Hooks.Member
	if hook == nil {
		return nil
	}
	return func(ch balancer.Change) {
		hook(
			MemberChange{
				Endpoint: ch.Endpoint,
				From:     MemberState(ch.From.String()),
				To:       MemberState(ch.To.String()),
				Err:      ch.Err,
			},
		)
	}
}

// streamOpened reports that a stream was opened, or could not be, unless nobody needs it any more.
func (c *Client) streamOpened(service, member string, ctx context.Context, err error) {
	if c != nil && c.cfg.Hooks.Stream != nil && ctx.Err() == nil {
		c.cfg.Hooks.Stream(StreamInfo{Service: service, Member: member, Ended: err != nil, Err: err})
	}
}

// streamEnded reports the end of a stream, unless nobody needs it any more.
func (c *Client) streamEnded(service, member string, err error) {
	if c != nil && c.cfg.Hooks.Stream != nil && etcderr.ClassOf(err) != etcderr.Ended {
		c.cfg.Hooks.Stream(StreamInfo{Service: service, Member: member, Ended: true, Err: err})
	}
}

// observeWatch reports the beginning or end of a watch.
func (c *Client) observeWatch(info WatchInfo) {
	if c != nil && c.cfg.Hooks.Watch != nil {
		c.cfg.Hooks.Watch(info)
	}
}

// observeLease reports what happened to a lease.
func (c *Client) observeLease(info LeaseInfo) {
	if c != nil && c.cfg.Hooks.Lease != nil {
		c.cfg.Hooks.Lease(info)
	}
}

func lostOrEnded(why lease.Reason) LeaseEvent {
	switch why {
	case lease.Expired, lease.Unrenewed, lease.Halted:
		return LeaseLost
	}
	return LeaseEnded
}
