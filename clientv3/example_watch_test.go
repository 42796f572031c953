package clientv3_test

import (
	"context"
	"fmt"

	"github.com/fairlead-go/fairlead/clientv3"
)

func ExampleWatcher() {
	cli, ctx, done := exampleClient()
	defer done()

	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes := cli.Watch(watching, "watch/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	must(cli.Put(ctx, "watch/door", "open"))
	must(cli.Put(ctx, "watch/door", "closed"))
	must(cli.Delete(ctx, "watch/door"))

	seen := 0
	for resp := range changes {
		if err := resp.Err(); err != nil {
			fmt.Println("the watch has ended:", err)
		}
		for _, e := range resp.Events {
			fmt.Printf("%s %s %q\n", e.Type, e.Kv.Key, e.Kv.Value)
			if seen++; seen == 3 {
				stop() // closes the channel
			}
		}
	}
	// Output:
	// PUT watch/door "open"
	// PUT watch/door "closed"
	// DELETE watch/door ""
}

// A program that keeps a copy of some keys lists them and watches from there. Whatever ends the
// watch, it lists again.
func ExampleWithListing() {
	cli, ctx, done := exampleClient()
	defer done()
	must(cli.Put(ctx, "listed/a", "1"))

	listing := clientv3.NewListing(0)
	r, err := cli.Get(ctx, "listed/", clientv3.WithPrefix())
	if err != nil {
		fmt.Println(err)
		return
	}
	listing.Add(r)
	fmt.Println(len(r.Kvs), "key")

	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes := cli.Watch(watching, "listed/", clientv3.WithPrefix(), clientv3.WithListing(listing))
	must(cli.Put(ctx, "listed/b", "2"))
	for _, e := range (<-changes).Events {
		fmt.Printf("%s %s\n", e.Type, e.Kv.Key)
	}
	// Output:
	// 1 key
	// PUT listed/b
}
