package discovery

import (
	"errors"
	"time"
)

var errProtected = errors.New("too many instances vanished together; they are kept for now")

// reason is why a vanished instance is kept.
type reason uint8

const (
	held      reason = iota // the view was away; until the guard's time, which may change
	protected               // too many vanished together
	thawed                  // an old leader may have revoked its lease
	reasons
)

// keeping is why a vanished instance is kept, and until when.
type keeping struct {
	why   reason
	until time.Time
}

// guard decides which vanished instances are kept: those of too many that vanish together
// (Protection), those that are missing after the view itself was away (WithReturnHold), and for a
// moment those that vanish not long after an election. It belongs to one goroutine.
type guard struct {
	Protection
	began time.Time // of the window
	base  int       // instances at its beginning
	went  int       // since then
	kept  map[string]keeping
	count [reasons]int // of kept, for each reason

	hold     time.Duration
	returned time.Time // when the view was back
	until    time.Time // instances that vanish before are held

	term    uint64    // etcd's, as seen last
	elected time.Time // when it was first seen to be higher than before
	burst   time.Time // since when instances of after an election are kept
	coming  time.Time // until when they are kept at least

	leaderless bool // etcd did not say who leads when it was asked last
}

// returnLimit bounds, in times of hold, how long returning instances can extend the hold of the
// others.
const returnLimit = 6

// back notes that the view had been away and has come back.
func (g *guard) back(now time.Time) { g.returned, g.until = now, later(g.until, now.Add(g.hold)) }

// promoted is how much longer than its TTL a lease lives that nobody renews, when etcd was restored
// from a backup that has it: etcd adds the time of an election, and looks for ended leases twice a
// second. The rest is for the owner of the key, which waits for that.
const promoted = 3 * time.Second

// restored notes that etcd has records from before those that the view knew.
func (g *guard) restored(now time.Time) { g.until = later(g.until, now.Add(g.hold+promoted)) }

// A leader that stood still does not know at first that another one has been elected. When it goes
// on it revokes the leases that would have ended by then, although the new leader has extended
// them. Their owners live, and register again within some round trips.
const (
	thawFor  = 5 * time.Minute // how long after an election that is expected
	thawHold = 2 * time.Second // for how long a vanished instance is kept then

	// electedHold is for how long they are kept after a time without a leader. An owner gives up a
	// request that etcd lost at that time after 3 s, and makes another.
	electedHold = 4 * time.Second
)

// saw notes the raft term of an answer.
func (g *guard) saw(term uint64, now time.Time) {
	if term > g.term && g.term > 0 {
		g.elected = now
		g.wait(now, electedHold) // etcd could not take their records meanwhile
	}
	g.term = term
}

// thaws reports whether an old leader may go on, as far as is known.
func (g *guard) thaws(now time.Time) bool { return g.hold > 0 && now.Sub(g.elected) < thawFor }

// keeps reports whether a vanished instance stays, and whether it is the first of several that
// vanished together. present is the number of instances, this one included.
func (g *guard) keeps(key string, in *Instance, present int, now time.Time) (keep, first bool) {
	if now.Before(g.until) && !in.IsDraining() { // one that drains was about to end
		g.keep(key, held, now)
		return true, false
	}
	if keep, first = g.protects(key, present, now); keep {
		return keep, first
	}
	if g.thaws(now) && !in.IsDraining() {
		if g.count[thawed] == 0 {
			g.burst = now
		}
		g.keep(key, thawed, now.Add(thawHold))
		return true, false
	}
	return false, false
}

// protects is keeps for those of too many that vanish together.
func (g *guard) protects(key string, present int, now time.Time) (keep, first bool) {
	if g.Share <= 0 {
		return false, false
	}
	if now.Sub(g.began) > g.Window {
		g.began, g.base, g.went = now, present, 0
	}
	g.went++
	if g.went <= max(int(g.Share*float64(g.base)), g.Least) {
		return false, false
	}
	first = g.count[protected] == 0
	g.keep(key, protected, now.Add(g.Hold))
	return true, first
}

func (g *guard) keep(key string, why reason, until time.Time) {
	if g.kept == nil {
		g.kept = make(map[string]keeping)
	}
	g.let(key)
	g.kept[key] = keeping{why, until}
	g.count[why]++
}

// let removes a key from the kept ones; it reports whether it was one, and why.
func (g *guard) let(key string) (why reason, kept bool) {
	k, kept := g.kept[key]
	if kept {
		delete(g.kept, key)
		g.count[k.why]--
	}
	return k.why, kept
}

// registered notes that an instance is registered, and reports whether it was held. As long as
// vanished instances come back, the others get more time: ten thousand do not register again within
// a moment.
func (g *guard) registered(key string, now time.Time) (was bool) {
	why, kept := g.let(key)
	switch {
	case kept && why == held:
		g.until = earlier(later(g.until, now.Add(g.hold/2)), g.returned.Add(returnLimit*g.hold))
		return true
	case kept && why == thawed:
		g.wait(now, thawHold)
	}
	return false
}

// wait gives those more time to come back that an old leader may have taken along.
func (g *guard) wait(now time.Time, more time.Duration) {
	g.coming = later(g.coming, earlier(now.Add(more), g.burst.Add(returnLimit*g.hold)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ripe reports whether the time has passed of instances that an old leader may have taken along.
func (g *guard) ripe(now time.Time) bool {
	for _, k := range g.kept {
		if k.why == thawed && !now.Before(later(k.until, g.coming)) {
			return true
		}
	}
	return false
}

// due removes and returns the keys whose time has passed.
func (g *guard) due(now time.Time) (keys []string) {
	for key, k := range g.kept {
		switch k.why {
		case held:
			k.until = g.until
		case thawed:
			k.until = later(k.until, g.coming)
		}
		if !now.Before(k.until) {
			keys = append(keys, key)
			g.let(key)
		}
	}
	return keys
}
