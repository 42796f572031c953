// The program of the client's README: connect to three members, write a key.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const timeout = 5 * time.Second

func main() {
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		// handle error!
		log.Fatal(err)
	}
	defer cli.Close()
	kvc := clientv3.NewKV(cli)

	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	resp, err := kvc.Put(ctx, "sample_key", "sample_value")
	cancel()
	if err != nil {
		// handle error!
		log.Fatal(err)
	}
	// use the response
	fmt.Println("written at revision", resp.Header.Revision)
}
