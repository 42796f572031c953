// A program that knows the official client only, and whose go.mod has the line that puts ours in.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"reflect"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const ours = "github.com/fairlead-go/fairlead/clientv3"

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
	if got := reflect.TypeOf(cli).Elem().PkgPath(); got != ours {
		return fmt.Errorf("the client is that of %s", got)
	}
	session, err := concurrency.NewSession(cli)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := concurrency.NewElection(session, "dropin/election").Campaign(ctx, "me"); err != nil {
		return err
	}
	fmt.Println("won an election with the client of", ours)
	return nil
}
