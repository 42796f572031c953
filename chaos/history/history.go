// Package history holds what one run of the chaos test recorded: what the clients called and which
// answers they got, what the cluster committed, and what was done to it. Times count from the
// start of the run on the monotonic clock of one process, so they can be compared.
//
// The types have no behaviour beyond lookups. Package check judges them.
package history

import (
	"sort"
	"strings"
	"time"
)

// Clock gives the times of one run.
type Clock struct{ start time.Time }

// NewClock starts a clock at zero.
func NewClock() Clock { return Clock{time.Now()} }

// Now is the time since the start.
func (c Clock) Now() time.Duration { return time.Since(c.start) }

// Kind says what an operation does.
type Kind string

const (
	Get    Kind = "get"    // reads Keys[0]
	Range  Kind = "range"  // reads all keys with the prefix Keys[0]
	Put    Kind = "put"    // writes Value to Keys[0]
	PutAll Kind = "putall" // one transaction that writes Value to all Keys
	// one transaction that deletes Keys[0] and writes Value to Keys[1], which makes it recognizable
	Delete Kind = "delete"
	CAS    Kind = "cas" // writes Value to Keys[0] if its modification revision is Expect, else reads it
)

// Writes reports whether the operation may change the store.
func (k Kind) Writes() bool { return k != Get && k != Range }

// Outcome is what the caller of an operation knows at its end.
type Outcome string

const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"  // certainly not executed, or a read
	Unknown Outcome = "unknown" // may have been executed, or may still be
)

// KV is a key that was found.
type KV struct {
	Key, Value string
	ModRev     int64
}

// Op is one call of a client.
type Op struct {
	ID, Client   int
	Kind         Kind
	Keys         []string
	Value        string // unique to this operation
	Expect       int64  // CAS: the modification revision compared with; 0 for an absent key
	Serializable bool   // a read that may be old

	Call, Return time.Duration
	Deadline     time.Duration // when its context ended or would have
	Outcome      Outcome
	Err          string

	Rev     int64 // the revision of the response
	Applied bool  // CAS: the comparison held
	Saw     []KV  // what a read or a CAS that did not apply found, or a delete just before it
}

// Event is one committed change.
type Event struct {
	Key, Value string
	Rev        int64
	Delete     bool
	Lease      int64
	Seen       time.Duration // when it was first seen on a path without faults; the commit was not later
}

// Truth is every committed change from revision First on, in order, without a hole.
type Truth struct {
	First, Last int64
	Events      []Event
}

// ByKey returns the events of each key, in order.
func (t *Truth) ByKey() map[string][]Event {
	m := make(map[string][]Event)
	for _, e := range t.Events {
		m[e.Key] = append(m[e.Key], e)
	}
	return m
}

// From returns the events of a range (see Covers) from a revision on.
func (t *Truth) From(rev int64, scope string) []Event {
	i := sort.Search(len(t.Events), func(i int) bool { return t.Events[i].Rev >= rev })
	var list []Event
	for _, e := range t.Events[i:] {
		if Covers(scope, e.Key) {
			list = append(list, e)
		}
	}
	return list
}

// Covers reports whether a scope covers a key. A scope that ends in "/" is a prefix, any other is
// a key.
func Covers(scope, key string) bool {
	if strings.HasSuffix(scope, "/") {
		return strings.HasPrefix(key, scope)
	}
	return scope == key
}

// Step is one response of a watch.
type Step struct {
	At         time.Duration
	Rev        int64 // the header's
	Created    bool
	Progress   bool
	CompactRev int64  // the watch ended because what it needs was compacted up to here
	Err        string // the watch ended for this reason
	Lost       bool   // the reason was that the cluster has lost history
	Events     []WatchEvent
}

// WatchEvent is an event as a watch delivered it.
type WatchEvent struct {
	Event
	// Prev is the key's state before, if the watch asked for it and it was not compacted.
	Prev *KV `json:",omitempty"`
}

// Watch is one call of Watch and all it delivered.
type Watch struct {
	ID, Client int
	Scope      string
	Start      int64 // first revision asked for; 0: those after the first step, which is Created
	Fragments  bool  // events of one revision may come in several responses
	NoPrev     bool  // it did not ask for previous values
	Slow       bool  // its consumer is slow on purpose
	Call       time.Duration
	Return     time.Duration
	Steps      []Step
	// Cancelled is when its context was cancelled. It is zero if something else ended the watch.
	Cancelled time.Duration
	// Last means that it was cancelled at the end of the run, after everything had healed: it must
	// have delivered everything up to the final revision.
	Last bool
}

// Lease is the life of one lease as its holder saw it.
type Lease struct {
	ID       int64
	Client   int
	Key      string // the key that is attached to it
	TTL      time.Duration
	Granted  time.Duration // when Grant was called
	PutRev   int64         // revision of Key; 0 if the write failed
	Renewals int
	LastAck  time.Duration // when the last renewal was received
	// Released is when the holder gave it up itself: it cancelled the renewal or revoked the
	// lease. 0: never.
	Released time.Duration
	// Noticed is when the holder learned that the channel of renewals was closed. 0:
	// never.
	Noticed time.Duration
	// Ended means that the server said that it does not have the lease.
	Ended bool
}

// Hold is one ownership of a lock or leadership as its owner saw it.
type Hold struct {
	Client   int
	Scope    string // what is owned
	Key      string // of the owner
	Fence    int64
	Lease    int64         // of its session
	TTL      time.Duration // of its session
	Acquired time.Duration
	Counted  int           // guarded writes that were acknowledged
	Ended    time.Duration // when the owner gave it up or learned that it had lost it
	Lost     bool
	// Outlived means that it was lost although its session stayed alive: somebody deleted its key.
	Outlived bool
	LastAck  time.Duration // when a renewal of its session was last acknowledged
}

// Attempt is one try to get a lock or leadership.
type Attempt struct {
	Client       int
	Scope, Key   string
	Call, Return time.Duration
	OK           bool
	End          time.Duration // of the ownership if the attempt succeeded, else Return
}

// Compaction is one compaction that was asked for.
type Compaction struct {
	Rev int64
	At  time.Duration
}

// Meddling is what an operator did to clients: the deletion of an owner's or waiter's key, or
// the revocation of a lease.
type Meddling struct {
	At    time.Duration // when it was asked for
	Key   string
	Lease int64
	Rev   int64 // of the deletion; 0: no answer came, it may have been done at any time after At
}

// View is one view that a follower of a service received. The value of each instance is the one
// that its owner gave it last.
type View struct {
	At    time.Duration
	Rev   int64 // the revision that it shows
	Stale bool
	Shown []KV // by key; ModRev is not set
}

// Touch is a time during which a member was disturbed.
type Touch struct {
	Member   int
	What     string
	From, To time.Duration
}

// Probe is one question of an independent client to one member: can it serve a linearizable read
// and a renewal?
type Probe struct {
	Member       int
	Call, Return time.Duration
	OK           bool
}

// Late is how late a timer of this process fired. The machine adds as much to every other delay.
type Late struct{ At, By time.Duration }

// Lateness holds all late timers, ordered by time.
type Lateness []Late

// Max returns the worst lateness of timers that fired from one time to another.
func (l Lateness) Max(from, to time.Duration) time.Duration {
	i := sort.Search(len(l), func(i int) bool { return l[i].At >= from })
	var worst time.Duration
	for ; i < len(l) && l[i].At-l[i].By <= to; i++ {
		worst = max(worst, l[i].By)
	}
	return worst
}

// History is everything that a run recorded.
type History struct {
	Ops         []Op
	Watches     []Watch
	Leases      []Lease
	Holds       []Hold
	Attempts    []Attempt
	Meddlings   []Meddling
	Truth       Truth
	Final       int64 // the revision that every watch marked Last must have reached
	Compactions []Compaction
	Touches     []Touch
	Views       []View // of one follower, in order
	Probes      []Probe
	Lateness    Lateness
	End         time.Duration
	Restore     *Restore // nil: none
}

// Mark is the key that holds an operation's value after it took effect.
func (o *Op) Mark() string {
	if o.Kind == Delete {
		return o.Keys[1]
	}
	return o.Keys[0]
}

// Attach finds the keys of the leases in the truth: a key may be there although the outcome of its
// write is unknown.
func (h *History) Attach() {
	byKey := h.Truth.ByKey()
	for i := range h.Leases {
		h.Leases[i].PutRev = lastPut(byKey[h.Leases[i].Key])
	}
}
