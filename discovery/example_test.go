package discovery_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func Example() {
	ctx := context.Background()
	cli := clienttest.ForExample()
	defer cli.Close()

	// The service registers its address for as long as the process lives.
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	_, err := registrar.Register(ctx, discovery.Instance{
		Service: "orders", ID: "orders-1", Addresses: []string{"10.0.0.7:8080"}, Version: "v2", Zone: "east",
	})
	if err != nil {
		log.Fatal(err)
	}

	// Another process follows it.
	directory := discovery.NewDirectory(cli)
	defer directory.Close()
	orders, err := directory.Subscribe("orders")
	if err != nil {
		log.Fatal(err)
	}
	defer orders.Close()
	change, err := orders.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, in := range change.Added {
		fmt.Println(in.ID, in.Addresses[0], in.Version)
	}
	// Output: orders-1 10.0.0.7:8080 v2
}

// An operator sends five percent of the calls to the new version, and takes an instance out.
func ExampleChangeControl() {
	ctx := context.Background()
	cli := clienttest.ForExample()
	defer cli.Close()
	err := discovery.ChangeControl(ctx, cli, "payments", func(c *discovery.Control) error {
		c.Split = discovery.Split{"v1": 95, "v2": 5}
		c.Override("payments-7", func(o *discovery.Override) { o.Maintenance = true })
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	err = discovery.ChangeControl(ctx, cli, "payments", func(c *discovery.Control) error {
		c.Split["v2"] = 10 // and forgets v1
		return nil
	})
	fmt.Println(err)
	control, err := discovery.ReadControl(ctx, cli, "payments")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(control.Split, control.Instances["payments-7"].Maintenance)
	// Output:
	// discovery: invalid: the percentages of the split v1=95 v2=10 add up to 105, not to 100
	// v1=95 v2=5 true
}
