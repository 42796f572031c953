package namespace_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
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

	everything := cli.KV
	cli.KV = namespace.NewKV(cli.KV, "team-a/")
	cli.Watcher = namespace.NewWatcher(cli.Watcher, "team-a/")
	cli.Lease = namespace.NewLease(cli.Lease, "team-a/")

	watch := cli.Watch(ctx, "color")
	if _, err := cli.Put(ctx, "color", "blue"); err != nil {
		log.Fatal(err)
	}
	for _, e := range (<-watch).Events {
		fmt.Printf("watched: %s = %s\n", e.Kv.Key, e.Kv.Value)
	}
	resp, err := everything.Get(ctx, "team-a/color")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("stored: %s = %s\n", resp.Kvs[0].Key, resp.Kvs[0].Value)
	// Output:
	// watched: color = blue
	// stored: team-a/color = blue
}
