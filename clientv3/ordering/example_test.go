package ordering_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/ordering"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func Example() {
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

	cli.KV = ordering.NewKV(cli.KV, ordering.NewOrderViolationSwitchEndpointClosure(cli))
	if _, err := cli.Put(ctx, "ordering/config", "new"); err != nil {
		log.Fatal(err)
	}
	// Any member that has the put may answer.
	resp, err := cli.Get(ctx, "ordering/config", clientv3.WithSerializable())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", resp.Kvs[0].Value)
	// Output: new
}
