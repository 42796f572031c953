package discovery

import (
	"errors"
	"time"
)

var errProtected = errors.New("too many instances vanished together; they are kept for now")

// guard decides which instances that vanish are kept: those of too many that vanish together, see
// Protection, and those that vanish as of a moment when the view had been away itself, see
// WithReturnHold. It belongs to one goroutine.
type guard struct {
	Protection
	began time.Time            // of the window
	base  int                  // instances at its beginning
	went  int                  // since then
	kept  map[string]time.Time // until when; the zero time: until the view has been back for long enough

	hold     time.Duration
	returned time.Time // when the view was back
	until    time.Time // what vanishes before is held
	held     int       // how many of kept are
}

// returnLimit bounds how long instances that come back, one after the other, have the others
// held, in times of hold.
const returnLimit = 6

// back notes that the view had been away and has come back.
func (g *guard) back(now time.Time) { g.returned, g.until = now, now.Add(g.hold) }

// keeps reports whether an instance that vanished stays, and whether it is the first of several
// that vanished together. present is how many there are, this one included.
func (g *guard) keeps(key string, in *Instance, present int, now time.Time) (keep, first bool) {
	if now.Before(g.until) && !in.IsDraining() { // one that drains was to go
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

// let takes a key out of those that are kept; it reports whether it was held.
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

// registered notes that an instance is registered. As long as those that vanished come back, the
// others have time to: ten thousand do not register again within a moment.
func (g *guard) registered(key string, now time.Time) {
	if !g.let(key) {
		return
	}
	g.until = later(g.until, now.Add(g.hold/2))
	if limit := g.returned.Add(returnLimit * g.hold); limit.Before(g.until) {
		g.until = limit
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// due takes out what was kept for long enough.
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
