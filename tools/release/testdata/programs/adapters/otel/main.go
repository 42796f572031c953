// A program that counts its calls for OpenTelemetry.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/fairlead-go/fairlead/adapters/otel"
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
	meters, err := otel.New(noop.NewMeterProvider())
	if err != nil {
		return err
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Hooks: meters.Hooks()})
	if err != nil {
		return err
	}
	defer cli.Close()
	meters.Follow(cli)
	if _, err := cli.Get(ctx, "metrics"); err != nil {
		return err
	}
	fmt.Println("counts its calls")
	return nil
}
