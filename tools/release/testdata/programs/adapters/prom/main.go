// A program that counts its calls for Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-go/fairlead/adapters/prom"
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
	forProm := prom.New()
	registry := prometheus.NewRegistry()
	if err := registry.Register(forProm); err != nil {
		return err
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Hooks: forProm.Hooks()})
	if err != nil {
		return err
	}
	defer cli.Close()
	forProm.Follow(cli)
	if _, err := cli.Get(ctx, "metrics"); err != nil {
		return err
	}
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	if len(families) == 0 {
		return errors.New("no metrics after a call")
	}
	fmt.Printf("has %d metrics\n", len(families))
	return nil
}
