// A program that registers an instance with go-kit's API and finds it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/go-kit/kit/sd"
	kitlog "github.com/go-kit/log"

	"github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := etcdv3.NewClient(ctx, []string{endpoint}, etcdv3.ClientOptions{})
	if err != nil {
		return err
	}
	service := etcdv3.Service{Key: "gokit/orders/1", Value: "http://10.0.0.1:80"}
	registrar := etcdv3.NewRegistrar(client, service, kitlog.NewNopLogger())
	registrar.Register()
	defer registrar.Deregister()
	instancer, err := etcdv3.NewInstancer(client, "gokit/orders/", kitlog.NewNopLogger())
	if err != nil {
		return err
	}
	defer instancer.Stop()
	events := make(chan sd.Event, 16)
	instancer.Register(events)
	for {
		select {
		case e := <-events:
			if slices.Contains(e.Instances, service.Value) {
				fmt.Println("registered an instance and found it")
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
