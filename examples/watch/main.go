// Prints each response of a watch as a line of JSON, until Ctrl-C or the end of the watch.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	defer cli.Close()

	lines := json.NewEncoder(os.Stdout)
	for resp := range cli.Watch(ctx, "sample_key") {
		if err := lines.Encode(resp); err != nil {
			return err
		}
		if err := resp.Err(); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
