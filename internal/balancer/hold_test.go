package balancer

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
)

// holder tries changes on the picker of a driver.
type holder struct {
	*driver
	under []*Pick // what was sent
}

func (h *holder) change() *Context {
	c := &Context{Context: context.Background()}
	c.Pick.Proposes, c.Pick.Consensus = true, true
	h.under = append(h.under, &c.Pick)
	return c
}

// held tries to send c and reports that it has to wait.
func (h *holder) held(c *Context) bool {
	h.t.Helper()
	v, _ := h.set.makeView()
	_, err := (&picker{h.set, v}).Pick(balancer.PickInfo{Ctx: c})
	if err != nil && err != balancer.ErrNoSubConnAvailable {
		h.t.Fatal(err)
	}
	if h.set.holding.Load() { // the monitor was woken
		h.tickAt = h.clock + 1
	}
	return err != nil
}

// TestChangesAreHeldBack: while no member finishes anything, changes wait, but not for ever. Reads
// find out when that is over. Then all changes are sent.
func TestChangesAreHeldBack(t *testing.T) {
	d, m := bench(t, "a", "b")
	h := &holder{driver: d}
	first := &Pick{Class: Read, Consensus: true}
	if h.under = append(h.under, first); !first.took(m[0].conn, d.clock) {
		t.Fatal("a read is not taken")
	}
	for _, o := range m {
		d.modes[name(o)] = "no quorum"
	}
	d.wait(holdMin - time.Millisecond)
	for range 3 {
		if h.held(h.change()) {
			t.Fatal("held back although calls take no longer than usual")
		}
	}
	d.wait(time.Millisecond)
	change := h.change()
	for range 20 { // also while the members are in doubt, and then stalled
		if !h.held(change) {
			t.Fatalf("sent where nothing was finished for %v", time.Duration(d.clock-change.Pick.held)+holdMin)
		}
		read := &Context{Context: context.Background()}
		if h.held(read) {
			t.Error("a read is held back")
		}
		read.Pick.Finish(Unanswered)
		if d.wait(watchEvery); d.tickAt == 0 || d.tickAt-d.clock > int64(watchSlow) {
			t.Error("changes that wait are not tried again soon")
		}
		for _, o := range m {
			if o.conn.probing != consensusProbe && d.clock >= o.conn.probeAt+int64(watchSlow) {
				t.Errorf("%s is not probed", name(o))
			}
		}
	}
	if d.wait(holdMost); h.held(change) {
		t.Error("held back for ever")
	}
	if change = h.change(); !h.held(change) {
		t.Error("sent where nothing is finished")
	}
	d.modes["a"], d.modes["b"] = "", ""
	d.wait(2 * probeBackoffMax) // the probe under way, and the pause after it
	for _, p := range h.under {
		p.Finish(Done)
	}
	d.wait(watchSlow)
	for range 3 {
		if h.held(h.change()) {
			t.Error("held back although the members finish calls")
		}
	}
}

// TestHeldBackByMistake: there is no election, but one slow call, or one member that does not
// answer. A change waits for the answer to one read, and then as long again.
func TestHeldBackByMistake(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		d, m := bench(t, "a", "b", "c")
		h := &holder{driver: d}
		slow := &Pick{Class: Read, Consensus: true}
		if h.under = append(h.under, slow); !slow.took(m[0].conn, d.clock) {
			t.Fatal("a read is not taken")
		}
		if frozen {
			d.modes["a"] = "frozen"
		}
		for range 10 {
			d.wait(100 * time.Millisecond)
			change := h.change()
			if h.held(change) {
				d.wait(5 * time.Millisecond) // a round trip, and the monitor
			}
			if d.set.holding.Load() || h.held(change) {
				t.Fatalf("frozen %t: held back for long", frozen)
			}
			change.Pick.Finish(Done)
			d.wait(1)
		}
		slow.Finish(Done)
	}
}

// TestHoldingDelaysNoVerdict: the leader is frozen, and only a watch runs there. While changes wait
// for an election, the leader is found silent as soon as at other times.
func TestHoldingDelaysNoVerdict(t *testing.T) {
	d, m := bench(t, "a", "b", "c")
	d.modes["a"], d.modes["b"], d.modes["c"] = "frozen", "no quorum", "no quorum"
	work := []*Pick{{Class: Session, Stream: true}, {Class: Read, Consensus: true}, {Class: Read, Consensus: true}}
	for i, p := range work {
		if !p.took(m[i].conn, d.clock) {
			t.Fatal("work is not taken")
		}
	}
	for d.clock-d.began < int64(StreamProbeAfter+probeMin+watchSlow) {
		d.wait(watchEvery)
		d.set.holding.Store(true) // changes are tried again and again
		d.tickAt = d.clock + 1
	}
	if m[0].state != Ejected {
		t.Errorf("the frozen member is %v", m[0].state)
	}
}

// TestChangesWaitForTheToken: on a connection on which nothing was answered yet, the token may be
// from a lost history, and a change that is sent with it would wait for as long as its caller.
func TestChangesWaitForTheToken(t *testing.T) {
	d, m := bench(t, "a", "b")
	h := &holder{driver: d}
	if h.held(h.change()) {
		t.Fatal("held back without a token")
	}
	d.set.cfg.Token = func() func() bool { return func() bool { return true } }
	change := h.change()
	if !h.held(change) {
		t.Fatal("sent although nobody knows whether the token is accepted")
	}
	if d.wait(5 * time.Millisecond); h.held(change) {
		t.Fatal("held back although the members answered reads with the token")
	}
	for _, p := range h.under {
		p.Finish(Done)
	}
	d.wait(watchSlow)              // nothing waits any more
	m[1].conn.quorum.last.Store(0) // its connection is new
	for range 20 {
		v, _ := d.set.makeView()
		if i := (&picker{d.set, v}).choose(&change.Pick, d.clock); v.usable[i].m != m[0] {
			t.Fatal("sent where nothing was answered yet")
		}
	}
	if d.set.holding.Load() {
		t.Fatal("something is held back")
	}
	d.tickAt = d.clock + 1 // the monitor was woken
	if d.wait(2 * probeBackoffBase); m[1].conn.quorum.last.Load() == 0 {
		t.Error("not asked whether it accepts the token")
	}
	d.modes["a"], d.modes["b"] = "no quorum", "no quorum"
	for _, o := range m {
		o.conn.quorum.last.Store(0)
	}
	change = h.change()
	for end := d.clock + int64(proveMost); d.clock < end; d.wait(watchEvery) {
		if !h.held(change) {
			t.Fatalf("sent after %v, while the members finish nothing", time.Duration(d.clock-change.Pick.held))
		}
	}
	if h.held(change) {
		t.Error("held back for ever")
	}
}
