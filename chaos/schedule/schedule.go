// Package schedule draws the faults of a run from a seed: the same seed and duration give the same
// schedule.
//
// There are two lanes. Faults of members come one after the other with pauses between them, so
// that the cluster can recover. An operator's actions (moving the leader, defragmenting,
// compacting, changing roles) happen at any time, also during faults. Each lane deals its kinds
// from a shuffled deck, so a run of a minute meets all of them whatever the seed.
package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is what happens.
type Kind string

const (
	Freeze    Kind = "freeze"     // the process is stopped, and thawed
	Kill      Kind = "kill"       // the process is killed, and restarted
	Terminate Kind = "terminate"  // the process is asked to end, and restarted
	BlackHole Kind = "black hole" // no byte between clients and the member
	Mute      Kind = "mute"       // requests arrive, answers do not
	Cut       Kind = "cut"        // connections are closed, new ones refused
	Reset     Kind = "reset"      // connections are reset, new ones accepted; repeated
	Slow      Kind = "slow"       // every byte between clients and the member is delayed
	Partition Kind = "partition"  // nothing between the member and its peers
	// all members go back to a backup that is taken at the fault's beginning; see WithRestore
	Restore Kind = "restore"

	MoveLeader Kind = "move leader"
	Defragment Kind = "defragment"
	Compact    Kind = "compact"
	Roles      Kind = "change roles" // invalidates all tokens
	DeleteKey  Kind = "delete owner" // deletes the key of an owner or of a waiter
	Revoke     Kind = "revoke lease"
)

var (
	memberKinds   = []Kind{Freeze, Kill, BlackHole, Partition, Cut, Slow, Mute, Terminate, Reset}
	operatorKinds = []Kind{Compact, MoveLeader, Defragment, DeleteKey, Compact, Roles, Revoke, DeleteKey}
)

// Scope says which members a fault hits.
type Scope string

const (
	One    Scope = "member" // the member with the number
	Leader Scope = "leader" // the leader at that time
	Two    Scope = "all but"
	All    Scope = "all"
)

const (
	// Warm is the time without faults at the start.
	Warm = time.Second
	// Calm is the time without faults at the end, before the final healing.
	Calm = time.Second

	minPause, maxPause = 300 * time.Millisecond, 2500 * time.Millisecond
	// minLength is longer than it takes to suspect a member, maxLength longer than the TTL of
	// leases and tokens.
	minLength, maxLength = 500 * time.Millisecond, 7 * time.Second
	// minLost and maxLost bound the time from a backup to its restore.
	minLost, maxLost = time.Second, 5 * time.Second
	// Whole-cluster faults are rarer but may last as long.
	minOperator, maxOperator = 700 * time.Millisecond, 3 * time.Second
)

// Fault is one entry.
type Fault struct {
	At, For time.Duration // For is zero for an operator's action
	Kind    Kind
	Scope   Scope
	Member  int           // for One and Two, and for Defragment and MoveLeader
	Delay   time.Duration // Slow: each way
	Keep    int64         // Compact: how many revisions to keep
	Pick    int           // DeleteKey and Revoke: which of those that exist
	Renamed bool          // Restore: as a cluster with another id
}

func (f Fault) String() string {
	s := fmt.Sprintf("%7.1f s  %-12s", f.At.Seconds(), f.Kind)
	switch f.Kind {
	case Compact:
		return s + fmt.Sprintf("  keep %d revisions", f.Keep)
	case Roles, Revoke, DeleteKey:
		return s
	case MoveLeader, Defragment:
		return s + fmt.Sprintf("  m%d", f.Member)
	}
	switch f.Scope {
	case One, Two:
		s += fmt.Sprintf("  %s m%d", f.Scope, f.Member)
	default:
		s += "  " + string(f.Scope)
	}
	s += fmt.Sprintf(", %.1f s", f.For.Seconds())
	if f.Kind == Restore {
		s += fmt.Sprintf(" are forgotten, the cluster's id too: %v", f.Renamed)
	}
	if f.Kind == Slow {
		s += fmt.Sprintf(", %d ms each way", f.Delay.Milliseconds())
	}
	return s
}

// Of reports whether the fault is one of members, not an operator's action.
func (f Fault) Of() bool { return f.For > 0 }

// Draw draws the faults of a run for a cluster of members, ordered by time. No fault
// begins before Warm or ends after duration less Calm.
func Draw(seed uint64, duration time.Duration, members int) []Fault {
	d := &drawer{rnd: rand.New(rand.NewPCG(seed, 0x6661756c7473)), members: members}
	end := duration - Calm
	var list []Fault
	deal := d.deck(memberKinds)
	for at := Warm; ; {
		f := d.fault(deal())
		f.At, f.For = at, min(f.For, end-at)
		if f.For < minLength {
			break
		}
		list = append(list, f)
		at += f.For + d.between(minPause, maxPause)
	}
	deal = d.deck(operatorKinds)
	for at := Warm + d.between(0, maxOperator); at < end; at += d.between(minOperator, maxOperator) {
		f := Fault{At: at, Kind: deal(), Member: d.rnd.IntN(members)}
		if f.Kind == Compact {
			f.Keep = []int64{0, 10, 100, 1000}[d.rnd.IntN(4)]
		}
		f.Pick = d.rnd.IntN(1000)
		list = append(list, f)
	}
	slices.SortStableFunc(list, func(a, b Fault) int { return int(a.At - b.At) })
	return list
}

// WithRestore puts a restore from a backup in place of the first fault of members in the second
// half, or does nothing if there is none. Its length is the time from the backup to the restore.
func WithRestore(seed uint64, faults []Fault, duration time.Duration) []Fault {
	d := &drawer{rnd: rand.New(rand.NewPCG(seed, 0x6261636b7570))}
	faults = slices.Clone(faults)
	if i := slices.IndexFunc(faults, func(f Fault) bool { return f.Of() && f.At >= duration/2 }); i >= 0 {
		faults[i] = Fault{
			At:      faults[i].At,
			For:     d.between(minLost, maxLost),
			Kind:    Restore,
			Scope:   All,
			Member:  faults[i].Member,
			Renamed: d.rnd.IntN(2) == 0,
		}
	}
	return faults
}

type drawer struct {
	rnd     *rand.Rand
	members int
}

// between draws whole milliseconds, so that the printed schedule is short and exact.
func (d *drawer) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.rnd.Int64N(int64((hi-lo)/time.Millisecond)+1))*time.Millisecond
}

// deck deals all kinds in a random order, again and again.
func (d *drawer) deck(kinds []Kind) func() Kind {
	var left []Kind
	return func() Kind {
		if len(left) == 0 {
			left = slices.Clone(kinds)
			d.rnd.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		}
		k := left[0]
		left = left[1:]
		return k
	}
}

func (d *drawer) fault(k Kind) Fault {
	f := Fault{Kind: k, Member: d.rnd.IntN(d.members), For: d.between(minLength, maxLength)}
	switch p := d.rnd.IntN(100); {
	case p < 45:
		f.Scope = One
	case p < 80:
		f.Scope = Leader
	case p < 90:
		f.Scope = Two
	default:
		f.Scope = All
	}
	if k == Slow {
		f.Delay = d.between(time.Millisecond, 500*time.Millisecond)
	}
	return f
}
