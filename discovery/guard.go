package discovery

import (
	"errors"
	"time"
)

var errProtected = errors.New("too many instances vanished together; they are kept for now")

// guard decides which instances that vanish are kept. It belongs to one goroutine.
type guard struct {
	Protection
	began time.Time            // of the window
	base  int                  // instances at its beginning
	went  int                  // since then
	kept  map[string]time.Time // until when
}

// keeps reports whether an instance that vanished stays, and whether it is the first of
// several. present is how many there are, this one included.
func (g *guard) keeps(key string, present int, now time.Time) (keep, first bool) {
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
	if g.kept == nil {
		g.kept = make(map[string]time.Time)
	}
	first = len(g.kept) == 0
	g.kept[key] = now.Add(g.Hold)
	return true, first
}

// back notes that an instance is registered.
func (g *guard) back(key string) { delete(g.kept, key) }

// due takes out what was kept for long enough.
func (g *guard) due(now time.Time) (keys []string) {
	for key, until := range g.kept {
		if !now.Before(until) {
			keys = append(keys, key)
			delete(g.kept, key)
		}
	}
	return keys
}
