package pick_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A service's calls go to its instances in turn.
func Example() {
	ctx := context.Background()
	cli := clienttest.ForExample()
	defer cli.Close()
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	for _, id := range []string{"a", "b", "c"} {
		_, err := registrar.Register(ctx,
			discovery.Instance{Service: "stock", ID: id, Addresses: []string{id + ".example:80"}})
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

// A program that knows its instances from another source; Follow takes them from a subscription.
func ExampleNew() {
	b := pick.New(pick.P2C(), pick.WithZone("east"), pick.WithWait())
	defer b.Close()
	b.Update([]*discovery.Instance{
		{ID: "near", Addresses: []string{"10.0.0.1:80"}, Zone: "east"},
		{ID: "far", Addresses: []string{"10.1.0.1:80"}, Zone: "west"},
	}, nil)

	in, done, err := b.Pick(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	// ... the call to in.Addresses[0] ...
	done.Report(pick.Success)
	fmt.Println(in.ID, in.Addresses[0])
	// Output: near 10.0.0.1:80
}

// Calls are split by version, and one that asks for a version gets it all the same.
func ExampleBalancer_SetSplit() {
	b := pick.New(pick.P2C(), pick.WithWait())
	defer b.Close()
	if err := b.SetSplit(discovery.Split{"v1": 100, "v2": 0}); err != nil {
		log.Fatal(err)
	}
	b.Update([]*discovery.Instance{
		{ID: "a", Addresses: []string{"10.0.0.1:80"}, Version: "v1"},
		{ID: "b", Addresses: []string{"10.0.0.2:80"}, Version: "v2"},
	}, nil)
	ctx := context.Background()
	in, done, err := b.Pick(ctx)
	if err != nil {
		log.Fatal(err)
	}
	done.Report(pick.Success)
	canary, done, err := b.PickMatching(ctx, "v2")
	if err != nil {
		log.Fatal(err)
	}
	done.Report(pick.Success)
	fmt.Println(in.Version, canary.Version)
	for _, s := range b.Split() {
		fmt.Println(s.Filter, s.Percent, s.Instances)
	}
	// Output:
	// v1 v2
	// v1 100 1
	// v2 0 1
}
