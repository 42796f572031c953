// Writes a key, reads it, and prints both answers as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	put, err := cli.Put(ctx, "sample_key", "sample_value123")
	if err != nil {
		return err
	}
	if err := show("PUT", put); err != nil {
		return err
	}
	get, err := cli.Get(ctx, "sample_key")
	if err != nil {
		return err
	}
	return show("GET", get)
}

// show prints an answer, in which keys and values are in base64.
func show(call string, answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s RESULT: %s\n", call, text)
	return err
}
