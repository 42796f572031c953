package cache

// This file decides which servers' progress reports can be believed. A server says on request how
// far a watch is, but before 3.4.31 and 3.5.13 it could name a revision whose events it had not
// sent yet; then a read would miss a write. So each member is asked for its version once, and again
// now and then since members can be downgraded. The member is the one named in the answer's header.

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// versionsFor is how long a known version is taken for valid.
	versionsFor = time.Minute
	// versionTry bounds the request to one member.
	versionTry = 2 * time.Second
)

type trust struct {
	c       *Cache
	members atomic.Pointer[map[uint64]bool] // by id; nil until the first answers are in
	asking  atomic.Bool
	asked   atomic.Int64 // nanoseconds since c.epoch
}

// believes reports whether a member's progress reports can be believed. If that is unknown or old,
// it starts asking in the background.
func (t *trust) believes(member uint64) bool {
	known := t.members.Load()
	good, there := false, false
	if known != nil {
		good, there = (*known)[member]
	}
	if !there || time.Since(t.c.epoch)-time.Duration(t.asked.Load()) > versionsFor {
		t.refresh()
	}
	return good
}

// nobody reports that no member can be believed.
func (t *trust) nobody() bool {
	known := t.members.Load()
	if known == nil {
		return false // not known yet
	}
	for _, good := range *known {
		if good {
			return false
		}
	}
	return len(*known) > 0
}

// refresh asks all members for their versions, unless that is under way or was done a moment ago.
func (t *trust) refresh() {
	since := time.Since(t.c.epoch)
	if at := t.asked.Load(); (at != 0 && since-time.Duration(at) < versionTry) ||
		!t.asking.CompareAndSwap(false, true) {
		return
	}
	t.asked.Store(max(int64(since), 1))
	if !t.c.group.Go(t.ask) {
		t.asking.Store(false)
	}
}

func (t *trust) ask(ctx context.Context) {
	defer t.asking.Store(false)
	ctx, cancel := context.WithTimeout(ctx, versionTry)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, ep := range t.c.client.Endpoints() {
		wg.Go(func() {
			r, err := t.c.client.Status(ctx, ep)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			t.learn(r.Header.MemberId, r)
		})
	}
	wg.Wait()
}

// learn is called for one member at a time.
func (t *trust) learn(id uint64, r *clientv3.StatusResponse) {
	all := make(map[uint64]bool)
	if old := t.members.Load(); old != nil {
		for k, v := range *old {
			all[k] = v
		}
	}
	all[id] = sound(r.Version)
	t.members.Store(&all)
}

// sound reports whether servers of a version ("3.5.13") never report more progress than the events
// they have sent.
func sound(version string) bool {
	part := strings.Split(version, ".")
	if len(part) != 3 {
		return false // a pre-release has more or other parts
	}
	var n [3]int
	for i, p := range part {
		var err error
		if n[i], err = strconv.Atoi(p); err != nil {
			return false
		}
	}
	switch major, minor, patch := n[0], n[1], n[2]; {
	case major != 3:
		return major > 3
	case minor == 4:
		return patch >= 31
	case minor == 5:
		return patch >= 13
	default:
		return minor > 5
	}
}
