package balancer

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
)

// TestChangesAreHeldBack: while no member finishes anything, one change in a while is sent
// to find out and the others wait, but not for ever; as soon as something is finished
// all go.
func TestChangesAreHeldBack(t *testing.T) {
	d, m := bench(t, "a", "b")
	var under []*Pick // what was sent
	for _, o := range m {
		d.modes[name(o)] = "no quorum"
		p := &Pick{Class: Read, Consensus: true}
		if under = append(under, p); !p.took(o.conn, d.clock) {
			t.Fatal("a read is not taken")
		}
	}
	pick := func(ctx *Context) error {
		d.wait(time.Millisecond)
		v, _ := d.set.makeView()
		_, err := (&picker{d.set, v}).Pick(balancer.PickInfo{Ctx: ctx})
		return err
	}
	change := func() *Context {
		c := &Context{Context: context.Background()}
		c.Pick.Proposes, c.Pick.Consensus = true, true
		under = append(under, &c.Pick)
		return c
	}
	d.wait(100 * time.Millisecond)
	for range 3 {
		if err := pick(change()); err != nil {
			t.Fatalf("held back although the members answer as usual: %v", err)
		}
	}
	d.wait(250 * time.Millisecond)
	scout, first, second := change(), change(), change()
	if err := pick(scout); err != nil {
		t.Fatalf("nobody finds out: %v", err)
	}
	for _, c := range []*Context{first, second} {
		if err := pick(c); err != balancer.ErrNoSubConnAvailable {
			t.Fatalf("sent where nothing is finished: %v", err)
		}
	}
	if d.tick(); d.tickAt == 0 || d.tickAt-d.clock > int64(watchSlow) {
		t.Error("those that wait are not asked again soon")
	}
	read := &Context{Context: context.Background()}
	if err := pick(read); err != nil {
		t.Errorf("a read is held back: %v", err)
	}
	read.Pick.Finish(Done)
	d.wait(holdEvery)
	if err := pick(first); err != nil {
		t.Errorf("the next does not find out after %v: %v", holdEvery, err)
	}
	if err := pick(second); err != balancer.ErrNoSubConnAvailable {
		t.Errorf("all find out: %v", err)
	}
	d.wait(holdMost)
	if err := pick(change()); err != nil {
		t.Error(err)
	}
	if err := pick(second); err != nil {
		t.Errorf("held back for ever: %v", err)
	}
	if err := pick(change()); err != balancer.ErrNoSubConnAvailable {
		t.Errorf("sent where nothing is finished: %v", err)
	}
	d.modes["a"], d.modes["b"] = "", ""
	for _, p := range under {
		p.Finish(Done)
	}
	d.wait(watchSlow)
	for range 3 {
		if err := pick(change()); err != nil {
			t.Fatalf("held back although the members finish calls: %v", err)
		}
	}
}
