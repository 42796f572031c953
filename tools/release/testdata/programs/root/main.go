// A program that uses the client, a lock and the local copy.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Context: ctx})
	if err != nil {
		return err
	}
	defer cli.Close()
	session, err := concurrency.NewSession(cli)
	if err != nil {
		return err
	}
	defer session.Close()
	lock := concurrency.NewMutex(session, "root/lock")
	if err := lock.Lock(ctx); err != nil {
		return err
	}
	if _, err := cli.Put(ctx, "root/key", "value"); err != nil {
		return err
	}
	copied, err := cache.New(cli, []string{"root/"})
	if err != nil {
		return err
	}
	defer copied.Close()
	resp, err := copied.Get(ctx, "root/key")
	if err != nil {
		return err
	}
	if len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "value" {
		return fmt.Errorf("the cache answers %v", resp.Kvs)
	}
	fmt.Println("wrote, locked, read from a cache")
	return lock.Unlock(ctx)
}
