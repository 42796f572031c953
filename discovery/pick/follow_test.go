package pick_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func Example() {
	ctx := context.Background()
	cli := clienttest.ForExample()
	defer cli.Close()
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	for _, id := range []string{"a", "b", "c"} {
		_, err := registrar.Register(ctx, discovery.Instance{Service: "stock", ID: id, Addresses: []string{id + ".example:80"}})
		if err != nil {
			log.Fatal(err)
		}
	}

	directory := discovery.NewDirectory(cli)
	defer directory.Close()
	stock, err := directory.Subscribe("stock")
	if err != nil {
		log.Fatal(err)
	}
	b := pick.Follow(stock, pick.RoundRobin(), pick.WithWait())
	defer b.Close()

	calls := make(map[string]int)
	for range 6 {
		in, done, err := b.Pick(ctx)
		if err != nil {
			log.Fatal(err)
		}
		calls[in.Addresses[0]]++ // here it would be called
		done.Report(pick.Success)
	}
	fmt.Println(calls)
	// Output: map[a.example:80:2 b.example:80:2 c.example:80:2]
}

// From etcd to the pick: an empty service is known to be empty, instances appear, drain
// and go.
func TestFollow(t *testing.T) {
	c := clienttest.Shared(t)
	format := discovery.JSON{Base: t.Name() + "/"}
	d := discovery.NewDirectory(c, discovery.WithRecords(format), discovery.WithAnnounce("me"))
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
