package leasing_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
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
	ctx := context.Background()

	var kvs [2]clientv3.KV // of two processes
	for i := range kvs {
		kv, closeKV, err := leasing.NewKV(cli, "leasing/", concurrency.WithTTL(10))
		if err != nil {
			log.Fatal(err)
		}
		defer closeKV()
		kvs[i] = kv
	}
	if _, err := kvs[0].Put(ctx, "config", "blue"); err != nil {
		log.Fatal(err)
	}
	for range 1000 { // only the first read asks the cluster
		if _, err := kvs[0].Get(ctx, "config"); err != nil {
			log.Fatal(err)
		}
	}
	// The owner gives the key up for the writer, and never reads an old value.
	if _, err := kvs[1].Put(ctx, "config", "green"); err != nil {
		log.Fatal(err)
	}
	r, err := kvs[0].Get(ctx, "config")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", r.Kvs[0].Value)
	// Output: green
}
