package naming_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func ExampleGRPCResolver() {
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

	r := &naming.GRPCResolver{Client: cli}
	if err := r.Update(ctx, "shop", naming.Update{Op: naming.Add, Addr: "10.0.0.1:8080"}); err != nil {
		log.Fatal(err)
	}
	w, err := r.Resolve("shop")
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	show := func() {
		updates, err := w.Next()
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range updates {
			fmt.Println(map[naming.Operation]string{naming.Add: "add", naming.Delete: "delete"}[u.Op], u.Addr)
		}
	}
	show()
	if err := r.Update(ctx, "shop", naming.Update{Op: naming.Delete, Addr: "10.0.0.1:8080"}); err != nil {
		log.Fatal(err)
	}
	show()
	// Output:
	// add 10.0.0.1:8080
	// delete 10.0.0.1:8080
}
