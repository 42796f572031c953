package cache

import (
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestProgressDecides: with servers that can be believed, reads come from the copy although other
// keys are written all the time; with others they are sent to etcd, and are right too.
func TestProgressDecides(t *testing.T) {
	c := clienttest.Shared(t)
	ca, err := New(c, []string{t.Name() + "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	ctx := clienttest.Within(t, clienttest.Long)
	if err := ca.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the versions", func() bool { return ca.trust.members.Load() != nil })
	round := func(i int) {
		t.Helper()
		for _, key := range []string{t.Name() + "/k", t.Name() + "elsewhere"} {
			if _, err := ca.Put(ctx, key, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := ca.Get(ctx, t.Name()+"/k")
		if err != nil || string(r.Kvs[0].Value) != fmt.Sprint(i) {
			t.Fatalf("%v, %v instead of %d", r, err, i)
		}
	}
	for i := range 100 {
		round(i)
	}
	if etcdtest.Shared(t).Version() < "3.5" {
		if n := ca.States()[0].Forwarded; n < 100 {
			t.Errorf("only %d of 100 reads were sent to etcd", n)
		}
		return // these servers do not say how far they are
	}
	// A busy machine may well take a tenth of a second now and then.
	if n := ca.States()[0].Forwarded; n > 10 {
		t.Errorf("%d of 100 reads were sent to etcd", n)
	}
	before := ca.States()[0].Forwarded
	none := make(map[uint64]bool)
	for id := range *ca.trust.members.Load() {
		none[id] = false
	}
	ca.trust.members.Store(&none)
	if !ca.trust.nobody() {
		t.Error("a member is believed")
	}
	for i := range 20 {
		round(i)
	}
	if n := ca.States()[0].Forwarded - before; n < 20 {
		t.Errorf("only %d of 20 reads were sent to etcd", n)
	}
	// The copy itself can be brought up to date all the same, while other keys are written.
	v, err := NewView(ca, t.Name()+"/", func(_ string, value []byte) (string, error) { return string(value), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for i := range 5 {
		if i%2 == 0 {
			round(i)
		}
		if _, err := ca.Put(ctx, t.Name()+"elsewhere", ""); err != nil {
			t.Fatal(err)
		}
		s, err := ca.Sync(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		got, _ := v.Get(t.Name() + "/k")
		if want := fmt.Sprint(i / 2 * 2); got != want || string(s.Get(t.Name()+"/k").Value) != want {
			t.Errorf("the view has %s, not %s", got, want)
		}
	}
}
