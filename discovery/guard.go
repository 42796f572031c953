package discovery

import (
	"errors"
	"time"
)

var errProtected = errors.New("too many instances vanished together; they are kept for now")

// guard decides which vanished instances are kept: those of too many that vanish together
// (Protection), and those that are missing after the view itself was away (WithReturnHold). It
// belongs to one goroutine.
type guard struct {
	Protection
	began time.Time            // of the window
	base  int                  // instances at its beginning
	went  int                  // since then
	kept  map[string]time.Time // until when; the zero time: until the view has been back for long enough

	hold     time.Duration
	returned time.Time // when the view was back
	until    time.Time // instances that vanish before are held
	held     int       // how many of kept are
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

// keeps reports whether a vanished instance stays, and whether it is the first of several that
// vanished together. present is the number of instances, this one included.
func (g *guard) keeps(key string, in *Instance, present int, now time.Time) (keep, first bool) {
	if now.Before(g.until) && !in.IsDraining() { // one that drains was about to end
		g.keep(key, time.Time{})
		return true, false
	}
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
	first = len(g.kept) == g.held
	g.keep(key, now.Add(g.Hold))
	return true, first
}

func (g *guard) keep(key string, until time.Time) {
	if g.kept == nil {
		g.kept = make(map[string]time.Time)
	}
	g.let(key)
	g.kept[key] = until
	if until.IsZero() {
		g.held++
	}
}

// let removes a key from the kept ones; it reports whether it was held.
func (g *guard) let(key string) (held bool) {
	if until, ok := g.kept[key]; ok {
		delete(g.kept, key)
		if until.IsZero() {
			g.held--
			return true
		}
	}
	return false
}

// registered notes that an instance is registered, and reports whether it was held. As long as
// vanished instances come back, the others get more time: ten thousand do not register again within
// a moment.
func (g *guard) registered(key string, now time.Time) (held bool) {
	if !g.let(key) {
		return false
	}
	g.until = later(g.until, now.Add(g.hold/2))
	if limit := g.returned.Add(returnLimit * g.hold); limit.Before(g.until) {
		g.until = limit
	}
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// due removes and returns the keys whose time has passed.
func (g *guard) due(now time.Time) (keys []string) {
	for key, until := range g.kept {
		if until.IsZero() {
			until = g.until
		}
		if !now.Before(until) {
			keys = append(keys, key)
			g.let(key)
		}
	}
	return keys
}
