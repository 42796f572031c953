package kubernetes_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/kubernetes"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func Example() {
	server, err := etcdtest.SharedMain() // a server for the example; yours has an address in your configuration
	if err != nil {
		log.Fatal(err)
	}
	cli, err := kubernetes.New(clientv3.Config{Endpoints: server.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	k := cli.Kubernetes
	created, err := k.OptimisticPut(ctx, "pods/web", []byte("pending"), 0, kubernetes.PutOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("created:", created.Succeeded)
	for range 2 { // the second one is too late
		r, err := k.OptimisticPut(
			ctx,
			"pods/web",
			[]byte("running"),
			created.Revision,
			kubernetes.PutOptions{GetOnFailure: true},
		)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("updated: %v, there is %q\n", r.Succeeded, r.KV.GetValue())
	}
	list, err := k.List(ctx, "pods/", kubernetes.ListOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pods:", list.Count)
	// Output:
	// created: true
	// updated: true, there is ""
	// updated: false, there is "running"
	// pods: 1
}
