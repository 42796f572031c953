package concurrency

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
)

// The model has a server with one key and its history, calls of one session that lock and unlock,
// the session's attendant, and others that delete the key, take it for themselves, forbid reading,
// and compact. Requests are executed at any time: also after their call has given up, or never. All
// interleavings of a plan are tried. Whatever the order:
//   - no call returns with a key that its session had already begun to delete, and no call loses
//     its key to another call of the session;
//   - no call returns with a key of another session, and none is deleted;
//   - when all is quiet, each owner's key is there, and no other key of the session;
//   - and no call is stuck.

// plan is what may happen, and how often.
type plan struct {
	name     string
	calls    []caller
	deletes  int // by an operator
	takes    int // by another session, if the key is not there
	denials  int // of reading; each may be revoked
	breaks   int // of watches
	compacts int
	timeouts int // requests of calls and of the attendant that go unanswered
}

// caller is a call that locks, and what it does when it has the lock.
type caller struct {
	unlocks bool // else it stays the owner
	leaves  bool // it may give up before it returns
}

type actor struct {
	caller
	at    stage
	req   *request
	asked int
	hold  *hold
}

type stage int

const (
	starting  stage = iota
	asking          // the request is under way
	waiting         // it has a hold and has not returned
	owning          // it has returned
	releasing       // the deletion is under way
	done
)

// request is one that the server may execute.
type request struct {
	what     byte  // p: put if absent, or find; d: delete; r: read
	rev      int64 // of d
	asked    int   // of r
	executed bool
	denied   bool
	// The answer.
	at, created int64
	lease       byte // of the key: s, the session; t, another; 0: no key
	was         bool
}

type change struct {
	at, created int64
	lease       byte
	deleted     bool
}

type world struct {
	plan
	core   core
	calls  []*actor
	late   []*request // their call has given up
	read   *request   // of the attendant
	remove *request   // of the attendant
	watch  *step      // of the attendant
	next   int64      // where the watch is

	rev, created, compacted int64
	lease                   byte
	history                 []change
	denied                  bool

	given map[int64]bool // create revisions that the session has begun to delete
	err   string
}

func newWorld(p plan) *world {
	w := &world{plan: p, rev: 1, given: map[int64]bool{}}
	for _, c := range p.calls {
		w.calls = append(w.calls, &actor{caller: c})
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	if w.err == "" {
		w.err = fmt.Sprintf(format, args...)
	}
}

// execute lets the server execute a request.
func (w *world) execute(r *request) {
	r.executed = true
	switch {
	case r.what == 'p' && w.lease == 0:
		w.put('s')
	case r.what == 'd' && w.lease != 0 && w.created == r.rev:
		r.was = true
		if w.lease != 's' {
			w.fail("another session's key was deleted")
		}
		for _, c := range w.calls {
			if c.at == owning && c.hold.rev == r.rev && c.hold.end == held {
				w.fail("the key of an owner was deleted")
			}
		}
		w.delete()
	case r.what == 'r' && w.denied:
		r.denied = true
	}
	r.at, r.created, r.lease = w.rev, w.created, w.lease
}

func (w *world) put(lease byte) {
	w.rev++
	w.created, w.lease = w.rev, lease
	w.history = append(w.history, change{at: w.rev, created: w.rev, lease: lease})
}

func (w *world) delete() {
	w.rev++
	w.created, w.lease = 0, 0
	w.history = append(w.history, change{at: w.rev, deleted: true})
}

// answered gives a call the answer to its request.
func (w *world) answered(a *actor) {
	r := a.req
	h, err := w.core.answered(a.asked, r.created, r.at, r.lease == 's')
	switch {
	case err == errAgain:
		a.at = starting
	case err != nil:
		a.at = done
	default:
		a.hold, a.at = h, waiting
		if r.lease != 's' {
			w.fail("a call got the key of another session")
		}
	}
}

// returns ends a call that waits.
func (w *world) returns(a *actor) {
	switch a.hold.end {
	case held:
		if w.given[a.hold.rev] {
			w.fail("a call returned with a key that its session deletes")
		}
		a.hold.taken, a.at = true, owning
	case shared:
		a.at = starting
	default:
		a.at = done
	}
}

// moves returns everything that can happen next; with quiet, only what must still come to an end.
func (w *world) moves(quiet bool) (list []func()) {
	can := func(f func()) { list = append(list, f) }
	limited := func(n *int, f func()) {
		if *n > 0 && !quiet {
			can(func() { *n--; f() })
		}
	}
	for _, a := range w.calls {
		w.callMoves(a, can, limited)
	}
	for _, r := range w.late {
		if !quiet {
			can(func() {
				w.late = slices.DeleteFunc(w.late, func(o *request) bool { return o == r })
				w.execute(r)
			})
		}
	}
	w.attendantMoves(can, limited)
	if w.lease != 0 {
		limited(&w.deletes, w.delete)
	} else {
		limited(&w.takes, func() { w.put('t') })
	}
	if w.denied {
		can(func() { w.denied = false })
	} else {
		limited(&w.denials, func() { w.denied = true })
	}
	if w.compacted < w.rev {
		limited(&w.compacts, func() { w.compacted = w.rev })
	}
	return list
}

func (w *world) callMoves(a *actor, can func(func()), limited func(*int, func())) {
	switch a.at {
	case starting:
		if k := w.core; may(&k) {
			can(func() {
				a.asked, _ = w.core.begin()
				a.req, a.at = &request{what: 'p'}, asking
			})
		}
	case asking, releasing:
		r := a.req
		if !r.executed {
			can(func() { w.execute(r) })
		} else if a.at == asking {
			can(func() { w.answered(a) })
		} else {
			can(func() {
				w.core.removed(r.rev, r.at, r.was)
				w.core.releaseEnded(false)
				a.at = done
			})
		}
		limited(&w.timeouts, func() {
			if !r.executed {
				w.late = append(w.late, r)
			}
			if a.at == asking {
				w.core.unanswered()
			} else {
				w.core.releaseEnded(true)
			}
			a.at = done
		})
		if a.at == asking {
			limited(&w.timeouts, func() {
				if !r.executed {
					w.late = append(w.late, r)
				}
				if asked, ok := w.core.repeat(); ok {
					a.asked, a.req = asked, &request{what: 'p'}
				} else {
					a.at = starting
				}
			})
		}
	case waiting:
		can(func() { w.returns(a) })
		if a.leaves {
			can(func() {
				if w.core.leave(a.hold) {
					w.given[a.hold.rev] = true
				}
				a.at = done
			})
		}
	case owning:
		if a.unlocks {
			can(func() {
				w.given[a.hold.rev] = true
				w.core.release(a.hold)
				a.req, a.at = &request{what: 'd', rev: a.hold.rev}, releasing
			})
		}
	}
}

// may reports whether a request may be sent; k is a copy.
func may(k *core) bool {
	_, ok := k.begin()
	return ok
}

func (w *world) attendantMoves(can func(func()), limited func(*int, func())) {
	switch {
	case w.read != nil:
		r := w.read
		switch {
		case !r.executed:
			can(func() { w.execute(r) })
		case r.denied:
			can(func() { w.read = nil })
		default:
			can(func() { w.read = nil; w.core.looked(r.asked, r.at, r.created, r.lease == 's') })
		}
		limited(&w.timeouts, func() { w.read = nil })
	case w.remove != nil:
		r := w.remove
		if !r.executed {
			can(func() { w.execute(r) })
		} else {
			can(func() { w.remove = nil; w.core.removed(r.rev, r.at, r.was) })
		}
		limited(&w.timeouts, func() {
			if !r.executed {
				w.late = append(w.late, r)
			}
			w.remove = nil
			w.core.removeFailed()
		})
	case w.watch != nil:
		if w.compacted >= w.next || w.denied {
			can(func() { w.watch = nil; w.core.watchEnded() })
			return
		}
		limited(&w.breaks, func() { w.watch = nil; w.core.watchEnded() })
		if i := slices.IndexFunc(w.history, func(c change) bool {
			return c.at >= w.next && (c.deleted || w.watch.puts)
		}); i >= 0 {
			can(func() {
				c := w.history[i]
				w.next = c.at + 1
				if c.deleted {
					w.core.deleted(c.at)
				} else {
					w.core.put(c.at, c.created, c.lease == 's')
				}
			})
		}
	default:
		switch st := w.core.next(); st.do {
		case ripen:
			can(w.core.ripe)
		case look:
			can(func() { w.read = &request{what: 'r', asked: w.core.next().asked} })
		case remove:
			can(func() { w.remove = &request{what: 'd', rev: w.core.next().rev} })
		case watch:
			can(func() { st := w.core.next(); w.watch, w.next = &st, st.rev })
		}
	}
}

// moved does what the shell does after each input, and checks the holds that ended.
func (w *world) moved() {
	if w.watch != nil {
		if st := w.core.next(); st.do != watch || st.puts != w.watch.puts {
			w.watch = nil
		}
	}
	for _, h := range w.core.ended {
		if h.end == lost && w.given[h.rev] {
			w.fail("a call lost its key to another call of the session")
		}
	}
	w.core.ended = nil
	if going := w.core.going; going > 0 {
		w.given[going] = true
	}
}

// settle lets everything come to an end, and checks the result.
func (w *world) settle() {
	w.late, w.denied = nil, false // late requests are never executed
	for n := 0; ; n++ {
		list := w.moves(true)
		if len(list) == 0 {
			break
		}
		if n > 300 {
			w.fail("it does not come to an end")
			return
		}
		list[0]()
		w.moved()
	}
	k := &w.core
	owned := false
	for i, a := range w.calls {
		if a.at != owning && a.at != done {
			w.fail("call %d is stuck", i)
		}
		if a.at == owning && a.hold.end == held {
			owned = true
			if a.hold.rev != w.created {
				w.fail("call %d believes that it owns revision %d, but the key is of %d", i, a.hold.rev, w.created)
			}
		}
	}
	if w.lease == 's' && !owned {
		w.fail("a key of the session is left")
	}
	if k.going != 0 || k.calls != 0 || k.releasing != 0 || !owned && len(k.holds) > 0 {
		w.fail("something is left: %+v", *k)
	}
}

// state differs for worlds that can go on differently. Counters of inputs matter only relative to
// each other.
func (w *world) state() string {
	var s []byte
	add := func(values ...any) {
		for _, v := range values {
			switch v := v.(type) {
			case int:
				s = binary.AppendVarint(s, int64(v))
			case int64:
				s = binary.AppendVarint(s, v)
			case byte:
				s = append(s, v)
			case bool:
				s = strconv.AppendBool(s, v)
			default:
				panic(fmt.Sprintf("a state of type %T", v))
			}
		}
	}
	requests := func(list ...*request) {
		for _, r := range list {
			if add(r != nil); r != nil {
				add(r.what, r.rev, r.executed, r.denied, r.at, r.created, r.lease, r.was)
			}
		}
	}
	k := w.core
	asked := k.inputs
	if w.read != nil {
		asked = w.read.asked
	}
	add(k.calls, k.doubts, k.going, k.goingAt <= asked, k.releasing, k.failed, k.dead, k.sure, k.there, k.seen,
		k.stale <= asked, w.deletes, w.takes, w.denials, w.breaks, w.compacts, w.timeouts, w.next, w.rev,
		w.created, w.compacted, w.lease, w.denied)
	for rev := range w.rev + 1 {
		add(w.given[rev])
	}
	add(len(k.holds))
	for _, h := range k.holds {
		add(h.rev, h.at, h.since <= asked, h.young)
	}
	for _, a := range w.calls {
		add(int(a.at), a.hold != nil)
		if a.hold != nil {
			add(a.hold.rev, int(a.hold.end))
		}
		if a.at == asking || a.at == releasing {
			requests(a.req)
			add(a.asked <= k.deadAt)
		}
	}
	requests(w.read, w.remove)
	add(len(w.late))
	requests(w.late...)
	if add(w.watch != nil); w.watch != nil {
		add(w.watch.puts)
	}
	for _, c := range w.history {
		add(c.at, c.created, c.lease, c.deleted)
	}
	return string(s)
}

// clone is a world that goes on from here without changing w.
func (w *world) clone() *world {
	c := *w
	holds := map[*hold]*hold{nil: nil}
	copied := func(h *hold) *hold {
		if _, ok := holds[h]; !ok {
			k := *h
			holds[h] = &k
		}
		return holds[h]
	}
	request := func(r *request) *request {
		if r == nil {
			return nil
		}
		k := *r
		return &k
	}
	c.core.holds, c.core.ended, c.calls, c.late = nil, nil, nil, nil
	for _, h := range w.core.holds {
		c.core.holds = append(c.core.holds, copied(h))
	}
	for _, h := range w.core.ended {
		c.core.ended = append(c.core.ended, copied(h))
	}
	for _, a := range w.calls {
		k := *a
		k.req, k.hold = request(a.req), copied(a.hold)
		c.calls = append(c.calls, &k)
	}
	for _, r := range w.late {
		c.late = append(c.late, request(r))
	}
	c.read, c.remove = request(w.read), request(w.remove)
	if w.watch != nil {
		k := *w.watch
		c.watch = &k
	}
	c.history, c.given = slices.Clone(w.history), maps.Clone(w.given)
	return &c
}

// explore tries all interleavings of a plan.
func explore(t *testing.T, p plan) {
	seen := map[string]bool{}
	var path []int
	var from func(w *world) bool
	from = func(w *world) bool {
		state := w.state()
		if w.err == "" && seen[state] {
			return true
		}
		seen[state] = true
		n := len(w.moves(false))
		end := w.clone()
		if end.err == "" {
			end.settle()
		}
		if end.err != "" {
			t.Errorf("after the moves %v: %s", path, end.err)
			again := newWorld(p)
			for _, i := range path {
				again.moves(false)[i]()
				again.moved()
				t.Logf("%d: core %+v, server at %d, its key of %d", i, again.core, again.rev, again.created)
			}
			t.Logf("at the end: %+v", end.core)
			return false
		}
		for i := range n {
			to := w.clone()
			to.moves(false)[i]()
			to.moved()
			path = append(path, i)
			ok := from(to)
			path = path[:len(path)-1]
			if !ok {
				return false
			}
		}
		return true
	}
	from(newWorld(p))
	t.Logf("%d states", len(seen))
}

func TestModel(t *testing.T) {
	stays, passes, unsure := caller{}, caller{unlocks: true}, caller{unlocks: true, leaves: true}
	for _, p := range []plan{
		{name: "two share a key", calls: []caller{passes, passes}, timeouts: 1},
		{name: "two share a key, one stays", calls: []caller{passes, stays}, deletes: 1},
		{name: "three share a key", calls: []caller{passes, stays, stays}},
		{name: "callers leave", calls: []caller{unsure, unsure}, timeouts: 1},
		{name: "the key is deleted unseen", calls: []caller{stays}, deletes: 1, denials: 1, breaks: 2, compacts: 1},
		{name: "the key is deleted and taken", calls: []caller{stays, passes}, deletes: 1, takes: 1, breaks: 1},
		{name: "the key is another's", calls: []caller{stays, passes}, takes: 1, deletes: 1, timeouts: 1},
		{name: "requests are late", calls: []caller{stays, passes}, timeouts: 2},
		{name: "requests are late while watches break", calls: []caller{
			unsure,
		}, timeouts: 2, breaks: 1, deletes: 1, takes: 1},
		{name: "an owner beside a late request", calls: []caller{
			stays, stays,
		}, timeouts: 1, deletes: 1, denials: 1, breaks: 1},
	} {
		t.Run(p.name, func(t *testing.T) { explore(t, p) })
	}
}
