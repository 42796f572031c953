package cache

// How old the copies are. An event does not say when it happened, and a member that answers does
// not say what is still under way to the copy. So once a second the cache makes a linearizable read
// of one key. The revision of its answer is a mark: whatever was written before the read was sent
// has it, or a lower one. A copy that has reached a mark was right when its read was sent, however
// late it gets there. Consistent reads of users give marks too, and then the cache makes none.
//
// If the last writes were to other keys, only the servers' progress brings a copy up to a mark. The
// gRPC proxy and old servers do not say how far they are (see trust.go). There a copy counts as
// right as of a mark if its watch says nothing for a while afterwards, unless the read for a mark
// has shown a change that the watch has not delivered.

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	// markEvery is how often a cache makes a mark.
	markEvery = time.Second
	// markTry bounds the read, and by that how many are under way. Its answer is a mark however
	// late it comes, and over a link that is full it comes as late as the events do.
	markTry = time.Minute
	// quietFor is how long a watch has to say nothing where servers do not say how far they are.
	quietFor = time.Second
	// marksMost bounds the marks of a copy. Of more, every second one is dropped.
	marksMost = 64
)

// mark says that whatever was written before a time has a revision of at most rev.
type mark struct {
	at  time.Time
	rev int64
}

// age is how old the copy of one prefix is. It is safe for concurrent use.
type age struct {
	mu    sync.Mutex
	asOf  time.Time // guarded by mu: when the copy was right
	ahead []mark    // guarded by mu: not reached yet, the oldest first
	owed  int64     // guarded by mu: a revision that has changed a key of the prefix
}

// owe notes that a key of the prefix was changed at a revision.
func (a *age) owe(rev int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owed = max(a.owed, rev)
}

// note adds a mark; rev returns the copy's revision. It reports whether the copy has reached it.
func (a *age) note(m mark, rev func() int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	// Under the lock: so a copy that gets there meanwhile is seen here or calls reached afterwards.
	if rev() >= m.rev {
		a.right(m.at)
		return true
	}
	if len(a.ahead) == marksMost {
		for i := range marksMost / 2 {
			a.ahead[i] = a.ahead[2*i]
		}
		a.ahead = a.ahead[:marksMost/2]
	}
	a.ahead = append(a.ahead, m)
	return false
}

// right notes that the copy was right at a time. Callers hold mu.
func (a *age) right(at time.Time) {
	if at.After(a.asOf) {
		a.asOf = at
	}
}

// reached is called when the copy has reached a revision.
func (a *age) reached(rev int64) { a.pass(func(m mark) bool { return m.rev <= rev }) }

// quiet is called when the watch of a copy that has reached rev, which can say no more, has said
// nothing since a time.
func (a *age) quiet(now, since time.Time, rev int64) {
	a.pass(func(m mark) bool { return a.owed <= rev && m.at.After(since) && now.Sub(m.at) >= quietFor })
}

// pass removes the marks that the copy has passed.
func (a *age) pass(passed func(mark) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.ahead[:0]
	for _, m := range a.ahead {
		if passed(m) {
			a.right(m.at)
		} else {
			left = append(left, m)
		}
	}
	a.ahead = left
}

// begin is called with a listing, which was right when it began. Marks of another history do not
// count.
func (a *age) begin(at time.Time, anew bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if anew {
		a.ahead, a.owed = nil, 0
	}
	a.right(at)
}

// get returns how long ago the copy was right. The clock that cannot be set stands still while the
// machine sleeps, so the other one counts too.
func (a *age) get(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(now.Sub(a.asOf), now.Round(0).Sub(a.asOf.Round(0)))
}

// sinceMark is how long ago the last read for a mark was sent.
func (c *Cache) sinceMark() time.Duration {
	return time.Since(c.epoch) - time.Duration(c.marking.Load())
}

// mark gives a mark to all copies. It reports whether all have reached it.
func (c *Cache) mark(m mark) bool {
	all := true
	for _, f := range c.feeds {
		if f.now.Load() != nil {
			all = f.age.note(m, func() int64 { return f.now.Load().rev }) && all
		}
	}
	return all
}

// keepMarking makes marks until ctx ends, several at a time if answers take longer than markEvery.
// The prefixes take turns: so each is compared with the cluster's history too, even if its watch is
// silent.
func (c *Cache) keepMarking(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	for turn := 0; backoff.Sleep(ctx, markEvery-c.sinceMark()) == nil; turn++ {
		if c.sinceMark() < markEvery {
			continue // a user's read has made one
		}
		c.marking.Store(int64(time.Since(c.epoch)))
		under.Go(func() {
			for i := range c.feeds {
				if c.feeds[(turn+i)%len(c.feeds)].makeMark(ctx) {
					break
				}
			}
		})
	}
}

// shown notes what a read of the newest key of a version shows of changes since.
func (f *feed) shown(before *version, newest *mvccpb.KeyValue) {
	switch {
	case newest != nil:
		f.age.owe(newest.ModRevision)
	case before.newest != nil: // it was deleted
		f.age.owe(before.rev + 1)
	}
}

// makeMark reads a key of the prefix for a mark. It reports false if it cannot.
func (f *feed) makeMark(ctx context.Context) bool {
	before := f.now.Load()
	if before == nil || f.failing() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, markTry)
	defer cancel()
	at := time.Now()
	h, newest, err := f.gate.read(ctx, before)
	if err != nil {
		return false
	}
	if before.parted(h, newest) {
		f.suspect(before)
		return true
	}
	f.shown(before, newest)
	if !f.c.mark(mark{at, h.Revision}) {
		_ = f.c.watcher.RequestProgress(ctx) // a failure shows as a missing answer
	}
	return true
}
