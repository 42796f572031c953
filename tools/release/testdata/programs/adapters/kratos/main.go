// A program that registers a service by kratos' registry and finds it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-kratos/kratos/v2/registry"

	"github.com/fairlead-go/fairlead/adapters/kratos/etcd"
	"github.com/fairlead-go/fairlead/clientv3"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	defer cli.Close()
	r := etcd.New(cli)
	defer r.Close()
	if err := r.Register(ctx, &registry.ServiceInstance{ID: "1", Name: "orders", Endpoints: []string{"http://10.0.0.1:80"}}); err != nil {
		return err
	}
	all, err := r.GetService(ctx, "orders")
	if err != nil || len(all) != 1 {
		return fmt.Errorf("found %v, %v", all, err)
	}
	fmt.Println("registered a service and found it")
	return nil
}
