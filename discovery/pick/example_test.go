package pick_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Calls are split by version, and one that wants a version gets it all the same.
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
