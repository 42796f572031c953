package clientv3util_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/clientv3util"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func ExampleKeyMissing() {
	server, err := etcdtest.SharedMain() // a server for the example; yours has an address in your configuration
	if err != nil {
		log.Fatal(err)
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	commit := func(txn clientv3.Txn) bool {
		resp, err := txn.Commit()
		if err != nil {
			log.Fatal(err)
		}
		return resp.Succeeded
	}
	for range 2 {
		fmt.Println("created:", commit(cli.Txn(ctx).
			If(clientv3util.KeyMissing("util/config")).
			Then(clientv3.OpPut("util/config", "first"))))
	}
	for range 2 {
		fmt.Println("removed:", commit(cli.Txn(ctx).
			If(clientv3util.KeyExists("util/config")).
			Then(clientv3.OpDelete("util/config"))))
	}
	// Output:
	// created: true
	// created: false
	// removed: true
	// removed: false
}
