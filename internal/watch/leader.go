package watch

// Members without a leader. Streams are opened so that such a member gives up its
// watches, and they move. A watch that requires a leader ends when none can be
// found; the others go on trying.

import (
	"slices"
	"time"
)

// leaderGrace is how long after the first report of a missing leader a watch that
// requires one goes on trying although all members have reported: an ordinary
// election takes up to about a second (etcd's default election timeout) and must
// not end watches.
const leaderGrace = time.Second

// leaderless notes that a member has no leader. When the same member says so again
// although it was to be avoided, no other one could be reached.
func (c *core) leaderless(now time.Time, g *group, member string, err error) {
	g.noLeaderErr = err
	if g.noLeaderSince.IsZero() {
		g.noLeaderSince = now
	}
	switch {
	case member == "":
		g.noLeaderOther++
	case slices.Contains(g.noLeader, member):
		g.noLeaderAll = true
	default:
		g.noLeader = append(g.noLeader, member)
	}
	if c.members != nil {
		if n := c.members(); n > 0 && len(g.noLeader)+g.noLeaderOther >= n {
			g.noLeaderAll = true
		}
	}
	c.endLeaderless(now, g)
}

// endLeaderless ends the watchers that require a leader once none can be found.
func (c *core) endLeaderless(now time.Time, g *group) {
	if !g.noLeaderAll {
		return
	}
	if over := g.noLeaderSince.Add(leaderGrace); now.Before(over) {
		g.due[dueLeader] = over
		return
	}
	for w := g.first; w != nil; {
		next := w.next
		if w.want&wantLeader != 0 && w.state != stateParked {
			c.finish(now, w, nil, g.noLeaderErr)
		}
		w = next
	}
}
