package watch

// Members without a leader. Streams are guarded: a member without a leader ends their watches,
// which move to another member. When no leader can be found, watches that require one end. The
// others continue on an unguarded stream of a member without a leader, while reads find out when a
// quorum is back. Then a guarded stream takes over.
//
// Watchers with a history wait for that: without a quorum nothing proves the history.

import (
	"errors"
	"slices"
	"time"
)

// errLeaderBack ends an unguarded stream.
var errLeaderBack = errors.New("watch: back to members with a leader")

// leaderGrace is how long after the first report of a missing leader a watch that
// requires one goes on trying although all members have reported: an ordinary
// election takes up to about a second (etcd's default election timeout) and must
// not end watches.
const leaderGrace = time.Second

// unguardedFor is how long an unguarded stream lives if no read can show when a quorum is back.
const unguardedFor = 3 * time.Second

// leaderless notes that a member has no leader. When the same member reports that again although it
// was to be avoided, no other one could be reached.
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

// endLeaderless ends the watchers that require a leader once none can be found. The
// others go on without.
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
	if !g.unguarded {
		g.unguarded = true
		if !g.due[dueRetry].IsZero() {
			g.due[dueRetry] = time.Time{}
			c.open(g)
		}
	}
}

// leaderFound forgets the reports of missing leaders.
func (g *group) leaderFound() {
	g.noLeader, g.noLeaderOther, g.noLeaderAll, g.noLeaderErr = nil, 0, false, nil
	g.noLeaderSince = time.Time{}
	g.unguarded = false
	g.due[dueLeader] = time.Time{}
}

// await queues w for a create on st. A watcher that requires a leader does not go on an
// unguarded stream: it ends unless a leader is found soon.
func (c *core) await(now time.Time, st *stream, w *watcher) {
	g := st.g
	switch {
	case !st.guarded && w.want&wantLeader != 0:
		if g.due[dueLeader].IsZero() {
			g.due[dueLeader] = now.Add(leaderGrace)
		}
	case !w.barred && c.vouch(st, w):
		g.waiting = append(g.waiting, w)
	}
}

// watchForLeader schedules the end of g's unguarded stream.
func (c *core) watchForLeader(now time.Time, g *group) {
	if c.canConfirm {
		c.check(now, g)
	} else {
		g.due[dueConfirm] = now.Add(unguardedFor)
	}
}

// probe repeats a check. Without checks it ends the unguarded stream, whose time is over.
func (c *core) probe(now time.Time, g *group) {
	if c.canConfirm {
		c.check(now, g)
	} else if st := g.st; st != nil && st.live && !st.guarded {
		g.unguarded = false // the reports stay, so that without a leader it is unguarded again at once
		c.fail(now, st, errLeaderBack, Retry, true)
	}
}

// guard replaces an unguarded stream: some member has a leader, perhaps another one.
func (c *core) guard(now time.Time, st *stream) {
	st.g.leaderFound()
	c.fail(now, st, errLeaderBack, Retry, true)
}
