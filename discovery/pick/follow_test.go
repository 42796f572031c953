package pick_test

import (
	"errors"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// From etcd to the pick: an empty service is known to be empty, instances appear, drain
// and go.
func TestFollow(t *testing.T) {
	c := clienttest.Shared(t)
	format := discovery.JSON{Base: t.Name() + "/"}
	d := discovery.NewDirectory(c, discovery.WithFormat(format), discovery.WithAnnounce("me"))
	defer d.Close()
	sub, err := d.Subscribe(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	b := pick.Follow(sub, pick.P2C())
	defer b.Close()
	ctx := clienttest.Within(t, clienttest.Long)
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Pick(ctx); !errors.Is(err, pick.ErrNoInstances) {
		t.Errorf("%v", err)
	}
	r := discovery.NewRegistrar(c, discovery.WithFormat(format))
	defer r.Close()
	register := func(id string) *discovery.Registration {
		t.Helper()
		g, err := r.Register(ctx, discovery.Instance{Service: t.Name(), ID: id, Addresses: []string{"127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	a := register("a")
	register("b")
	clienttest.Await(t, "both are known", func() bool { return len(b.Statuses()) == 2 })
	if err := a.Drain(ctx, clienttest.Long); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		in, done, err := b.Pick(ctx)
		if err != nil || in.ID != "b" {
			t.Fatalf("%v, %v: it has drained", in, err)
		}
		done.Report(pick.Success)
	}
	d.Close()
	if in, _, err := b.Pick(ctx); err != nil || in.ID != "b" {
		t.Errorf("after the directory was closed: %v, %v", in, err)
	}
}
