package keep

// This file has the state of one key and decides what to do about it: a machine without a clock, a
// network or a lock. The shell (settle.go) asks it for a request, sends it, and passes the result
// on. The watch passes on changes, the lease its loss.
//
// A value of another process is never overwritten or deleted: every put compares the mod revision,
// every deletion the lease.

// Target is the intended state of the key.
type Target uint8

const (
	Present Target = iota // the value
	Hidden                // nothing for now
	Gone                  // nothing, and the key is no longer kept
)

// There is the present state of the key, as far as known.
type There uint8

const (
	Unknown There = iota
	Absent
	Ours
	Foreign // another process's
)

// Work is the present work on the key.
type Work uint8

const (
	Idle Work = iota
	Queued
	Busy   // a request is under way, or waits to be repeated
	Denied // the server does not allow it; tried again now and then
)

// Kind says what happened to a key. Its owner is notified when it changes.
type Kind string

const (
	Registered Kind = "registered" // it is there for the first time
	Lost       Kind = "lost"       // the lease was lost, or another client deleted or replaced it
	Restored   Kind = "restored"   // it is there again
	Withdrawn  Kind = "withdrawn"  // it was hidden
	Refused    Kind = "refused"    // the server does not allow it
	Taken      Kind = "taken"      // another process has it
)

// Found is a record at the key that is not the one that was written last.
type Found struct {
	Value []byte
	// Own is the value to be kept.
	Own []byte
	// Ours: it is under a lease of this process.
	Ours bool
	// First: the key was never kept. The record may be of an earlier run of this process.
	First bool
}

// Verdict says what becomes of a found record.
type Verdict struct {
	// Taken, if not nil, says that the record is another process's: it stays, and callers that wait
	// get this error. Otherwise it is overwritten.
	Taken error
}

// machine is the state of one key.
type machine struct {
	target   Target
	there    There
	work     Work
	reported Kind   // what the owner knows; empty: it never was there
	turn     int    // counts the changes; a request knows its turn
	value    []byte // the value to be kept
	wrote    []byte // what we put last
	mod      int64  // the mod revision that we know of; 0: none
	seen     int64  // the latest change that the watch has shown during the present request, or the last
	lease    int64  // that we put it under last
	shown    int64  // up to which the watch has shown the key, or begins after it
	late     int64  // the mod revision that it had not shown at the last audit
}

// do is the kind of a request.
type do uint8

const (
	look do = iota
	put
	remove
)

// request is one request, as of one turn.
type request struct {
	do    do
	turn  int
	lease int64
	value []byte // put
	mod   int64  // put: only if this is the key's mod revision; 0: if there is no key
	also  int64  // remove: if it is under lease or this one; 0: only lease
}

// record is the record found at the key.
type record struct {
	value      []byte
	mod, lease int64
}

// result is the result of a request.
type result struct {
	err    error
	denied bool    // err is final
	unfit  bool    // and about the value: it can never be stored
	awaits bool    // a caller waits for the answer
	done   bool    // it was put or removed
	found  *record // else what is there; nil: nothing
	rev    int64   // of the store then
}

// effect is what follows from an input.
type effect struct {
	again  bool // another request is needed at once; after a wait if the result was an error
	settle bool // callers that wait for this turn, or an earlier one, get err
	err    error
	queue  bool  // something has changed meanwhile
	forget bool  // nothing is left to be done
	notify Kind  // the event for the owner; empty: none
	why    error // of that
}

// touch says that the key needs work; queue: it goes into the queue.
func (m *machine) touch() (queue bool) {
	m.turn++
	if m.work == Busy || m.work == Queued {
		return false
	}
	m.work = Queued
	return true
}

// want changes the target.
func (m *machine) want(w Target, value []byte) (queue bool) {
	m.target = w
	if w == Present {
		m.value = value
	}
	return m.touch()
}

// hide withdraws the record or puts it back; changed: that is a change.
func (m *machine) hide(hidden bool) (changed, queue bool) {
	switch {
	case hidden && m.target == Present:
		m.target, m.reported = Hidden, Withdrawn
	case !hidden && m.target == Hidden:
		m.target = Present
	default:
		return false, false
	}
	return true, m.touch()
}

// next begins a request under the present lease; ok is false if there is none.
func (m *machine) next(lease int64) (q request, ok bool) {
	if lease == 0 {
		m.work = Idle // a new lease touches it
		return q, false
	}
	m.work = Busy
	m.seen = 0 // the request finds what was shown before it; a restored cluster may never reach that revision
	q = request{do: put, turn: m.turn, lease: lease}
	switch {
	case m.target != Present:
		q.do = remove
		if m.lease != lease {
			q.also = m.lease
		}
	case m.there == Unknown && m.lease == lease:
		q.do = look // it is probably right, and reading costs less than writing
	default:
		q.value, q.mod = m.value, m.mod
	}
	return q, true
}

// result handles the result of a request. own says whether a lease is one of this process.
func (m *machine) result(q request, r result, own func(lease int64) bool, judge func(Found) Verdict) effect {
	switch {
	case r.err != nil && !r.denied:
		return effect{again: true}
	case r.err != nil:
		return m.denied(q, r)
	case q.do == remove:
		return m.removed(q)
	case r.done:
		m.wrote = q.value
		return m.settled(q, r.rev, r.rev)
	case r.found == nil:
		return m.missed()
	case r.found.lease == q.lease && string(r.found.value) == string(m.value):
		m.wrote = m.value // an answer was lost, or nothing had changed
		return m.settled(q, r.found.mod, r.rev)
	}
	v := judge(Found{Value: r.found.value, Own: m.value, Ours: own(r.found.lease), First: m.reported == ""})
	if v.Taken != nil {
		return m.taken(q, r, v.Taken)
	}
	m.there, m.mod, m.lease = Ours, r.found.mod, r.found.lease
	return effect{again: true}
}

// settled: the record is as intended, as of a revision of the store.
func (m *machine) settled(q request, mod, as int64) effect {
	e := effect{settle: true}
	switch m.reported {
	case "":
		e.notify = Registered
	case Lost, Taken, Refused, Withdrawn:
		e.notify = Restored
	}
	if e.notify != "" {
		m.reported = e.notify
	}
	m.there, m.mod, m.lease = Ours, mod, q.lease
	e.queue = m.rest(q, as)
	return e
}

// missed: there is no record.
func (m *machine) missed() effect {
	m.there, m.mod = Absent, 0
	return effect{again: true, notify: m.lose()}
}

// removed: no record of ours is there.
func (m *machine) removed(q request) effect {
	m.there, m.mod, m.lease = Absent, 0, 0
	e := effect{settle: true, queue: m.rest(q, 0)}
	if m.target == Gone {
		e.forget, e.queue = true, false
	}
	return e
}

// taken: another process has the key. Our value comes back when the key is free.
func (m *machine) taken(q request, r result, err error) effect {
	e := effect{settle: true, err: err}
	if m.target == Gone { // a caller of Close waits for its removal, which is next
		e.settle = false
	}
	if m.reported != "" && m.reported != Taken {
		m.reported, e.notify, e.why = Taken, Taken, err
	}
	m.there, m.mod = Foreign, 0
	e.queue = m.rest(q, r.rev)
	return e
}

// denied: the server does not allow the request. If the key never was there, its removal is done. A
// value that can never be stored gives way to the previous one, if there was one.
func (m *machine) denied(q request, r result) effect {
	e := effect{settle: true, err: r.err, forget: m.target == Gone && m.reported == ""}
	if e.queue = m.rest(q, 0); e.queue {
		return e
	}
	if r.unfit && m.target == Present && m.wrote != nil {
		m.value = m.wrote
		e.queue = m.there != Ours && m.touch()
		return e
	}
	m.work = Denied
	if !r.awaits && m.reported != "" && m.reported != Refused && m.target != Gone {
		m.reported, e.notify, e.why = Refused, Refused, r.err
	}
	return e
}

// rest ends a request that was made as of a revision; queue: something has changed meanwhile.
func (m *machine) rest(q request, as int64) (queue bool) {
	m.work = Idle
	if m.turn != q.turn || m.seen > as && as > 0 {
		m.work = Queued
		return true
	}
	return false
}

// changed handles a change that the watch has shown: a record put under a lease, or its deletion.
// current is our present lease.
func (m *machine) changed(deleted bool, lease, mod, current int64) (e effect) {
	m.shown = max(m.shown, mod)
	switch {
	case mod <= m.mod:
		return e // our own
	case m.work == Busy:
		m.seen = max(m.seen, mod) // the request notices it, or the next one
		return e
	case deleted:
		m.there, m.mod = Absent, 0
		e.notify = m.lose()
	case lease == current:
		// A change by an operator: the put that follows notices it, since its mod revision is
		// another one.
	case m.there == Foreign:
		return e // others may change their record
	default:
		m.there = Unknown
		e.notify = m.lose()
	}
	e.queue = m.touch()
	return e
}

// lapse: the lease may have ended, and the record with it.
func (m *machine) lapse() (e effect) {
	if m.there == Ours {
		e.notify = m.lose()
	}
	return e
}

// regain: the lease has not ended, so the known state of the key holds; the watch shows what has
// changed. awaits: a caller waits for the present turn.
func (m *machine) regain(awaits bool) (e effect) {
	if awaits || m.target != Present || m.there != Ours || string(m.value) != string(m.wrote) || m.seen > m.mod {
		e.queue = m.touch()
		return e
	}
	if m.reported == Lost {
		m.reported, e.notify = Restored, Restored
	}
	return e
}

// lost: the lease is gone, and perhaps the record with it.
func (m *machine) lost() (e effect) {
	if m.work != Busy { // the request under way finds that there is no lease
		m.work = Idle
	}
	m.turn++
	m.shown = 0
	if m.there == Ours {
		m.there, m.mod = Unknown, 0
		e.notify = m.lose()
	}
	return e
}

// suspect: changes may have been missed. The watch shows those after rev; 0: none.
func (m *machine) suspect(rev int64) (queue bool) {
	m.there, m.shown = Unknown, rev
	return m.touch()
}

// audit is called regularly. A record that was put a while ago, and that the watch has not shown,
// may be of a history that etcd no longer has: the machine looks at it.
func (m *machine) audit() (queue bool) {
	if m.work != Idle || m.there != Ours || m.mod <= m.shown {
		return false
	}
	if m.late != m.mod {
		m.late = m.mod
		return false
	}
	m.there = Unknown
	return m.touch()
}

// lose returns the event for the owner of a record that has gone: none if the owner knows or
// intended that.
func (m *machine) lose() Kind {
	if m.target != Present || m.reported != Registered && m.reported != Restored {
		return ""
	}
	m.reported = Lost
	return Lost
}

// adopt makes another owner keep a key that was to be removed, and perhaps is not removed yet.
func (m *machine) adopt(value []byte) (queue bool) {
	m.reported, m.wrote = "", nil
	return m.want(Present, value)
}
