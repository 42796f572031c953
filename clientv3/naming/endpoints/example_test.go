package endpoints_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func ExampleManager() {
	server, err := etcdtest.SharedMain() // a server for the example; yours has an address in your configuration
	if err != nil {
		log.Fatal(err)
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	em, err := endpoints.NewManager(cli, "orders")
	if err != nil {
		log.Fatal(err)
	}
	// With a lease that the process keeps alive, the endpoint disappears after the process ends.
	lease, err := cli.Grant(ctx, 10)
	if err != nil {
		log.Fatal(err)
	}
	if err := em.AddEndpoint(ctx, "orders/a", endpoints.Endpoint{Addr: "10.0.0.1:8080"},
		clientv3.WithLease(lease.ID)); err != nil {
		log.Fatal(err)
	}
	changes, err := em.NewWatchChannel(ctx)
	if err != nil {
		log.Fatal(err)
	}
	show := func(updates []*endpoints.Update) {
		for _, u := range updates {
			if u.Op == endpoints.Add {
				fmt.Println("there:", u.Key, u.Endpoint.Addr, u.Endpoint.Metadata)
			} else {
				fmt.Println("gone: ", u.Key)
			}
		}
	}
	show(<-changes)
	// One endpoint replaces another in one transaction.
	err = em.Update(ctx, []*endpoints.UpdateWithOpts{
		endpoints.NewDeleteUpdateOpts("orders/a"),
		endpoints.NewAddUpdateOpts(
			"orders/b",
			endpoints.Endpoint{Addr: "10.0.0.2:8080", Metadata: map[string]any{"zone": "b"}},
		),
	})
	if err != nil {
		log.Fatal(err)
	}
	show(<-changes)
	// Output:
	// there: orders/a 10.0.0.1:8080 <nil>
	// gone:  orders/a
	// there: orders/b 10.0.0.2:8080 map[zone:b]
}
