package etcd_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-kratos/kratos/v2/registry"

	"github.com/fairlead-go/fairlead/adapters/kratos/etcd"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A program of kratos hands the registry to kratos.Registrar, and to WithDiscovery of its clients.
// This example uses both by hand.
func Example() {
	cli := clienttest.ForExample() // clientv3.New with your endpoints
	defer cli.Close()
	r := etcd.New(cli, etcd.RegisterTTL(10*time.Second), etcd.WithServing(0))
	defer r.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w, err := r.Watch(ctx, "greeter")
	if err != nil {
		log.Fatal(err)
	}
	defer w.Stop()
	me := &registry.ServiceInstance{ID: "1", Name: "greeter", Endpoints: []string{"grpc://127.0.0.1:9000"}}
	if err := r.Register(ctx, me); err != nil {
		log.Fatal(err)
	}
	all, err := w.Next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(all[0].ID, all[0].Endpoints)
	if err := r.Deregister(ctx, me); err != nil {
		log.Fatal(err)
	}
	// Output: 1 [grpc://127.0.0.1:9000]
}
