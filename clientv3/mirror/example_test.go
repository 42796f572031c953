package mirror_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// exampleClient returns a client of a server for these examples; yours has addresses in your
// configuration.
func exampleClient() *clientv3.Client {
	server, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	return cli
}

func ExampleRun() {
	source, target := exampleClient(), exampleClient() // usually clients of two clusters
	defer source.Close()
	defer target.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	if _, err := source.Put(ctx, "orders/1", "paid"); err != nil {
		log.Fatal(err)
	}
	// Without WithoutFollowing Run mirrors until ctx ends.
	err := mirror.Run(ctx, source, target,
		mirror.WithPrefix("orders/"), mirror.WithTargetPrefix("copy/orders/"), mirror.WithoutFollowing())
	if err != nil {
		log.Fatal(err)
	}
	resp, err := target.Get(ctx, "copy/orders/1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", resp.Kvs[0].Value)
	// Output: paid
}

func ExampleNewSyncer() {
	cli := exampleClient()
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	if _, err := cli.Put(ctx, "syncer/a", "1"); err != nil {
		log.Fatal(err)
	}
	s := mirror.NewSyncer(cli, "syncer/", 0)
	base, failed := s.SyncBase(ctx)
	for resp := range base {
		for _, kv := range resp.Kvs {
			fmt.Printf("is %s = %s\n", kv.Key, kv.Value)
		}
	}
	if err := <-failed; err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "syncer/b", "2"); err != nil {
		log.Fatal(err)
	}
	for _, e := range (<-s.SyncUpdates(ctx)).Events {
		fmt.Printf("now %s = %s\n", e.Kv.Key, e.Kv.Value)
	}
	// Output:
	// is syncer/a = 1
	// now syncer/b = 2
}
