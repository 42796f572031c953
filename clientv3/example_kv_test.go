package clientv3_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// exampleClient is what every example begins with.
func exampleClient() (*clientv3.Client, context.Context, func()) {
	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	return cli, ctx, func() { cancel(); cli.Close() }
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func ExampleKV() {
	cli, ctx, done := exampleClient()
	defer done()

	for _, name := range []string{"ada", "bob", "cy"} {
		must(cli.Put(ctx, "kv/"+name, "here"))
	}
	resp := must(
		cli.Get(ctx, "kv/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)),
	)
	for _, kv := range resp.Kvs {
		fmt.Printf("%s %s\n", kv.Key, kv.Value)
	}
	del := must(cli.Delete(ctx, "kv/", clientv3.WithPrefix()))
	fmt.Println("deleted", del.Deleted)
	// Output:
	// kv/cy here
	// kv/bob here
	// kv/ada here
	// deleted 3
}

func ExampleKV_txn() {
	cli, ctx, done := exampleClient()
	defer done()

	must(cli.Put(ctx, "txn/owner", "ada"))
	// Only the owner may hand it on.
	resp := must(cli.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("txn/owner"), "=", "ada")).
		Then(clientv3.OpPut("txn/owner", "bob")).
		Else(clientv3.OpGet("txn/owner")).
		Commit())
	fmt.Println(resp.Succeeded)
	fmt.Printf("%s\n", must(cli.Get(ctx, "txn/owner")).Kvs[0].Value)
	// Output:
	// true
	// bob
}

func ExampleKV_getStream() {
	cli, ctx, done := exampleClient()
	defer done()

	for i := range 5 {
		must(cli.Put(ctx, fmt.Sprint("stream/", i), "x"))
	}
	n := 0
	for chunk := range must(cli.GetStream(ctx, "stream/", clientv3.WithPrefix())) {
		if err := chunk.Err(); err != nil {
			log.Fatal(err)
		}
		n += len(chunk.Kvs)
	}
	fmt.Println(n, "keys")
	// Output: 5 keys
}
