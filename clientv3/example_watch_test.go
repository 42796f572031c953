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
