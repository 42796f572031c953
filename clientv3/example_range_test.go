package clientv3_test

import (
	"fmt"
	"log"

	"github.com/fairlead-go/fairlead/clientv3"
)

func ExampleClient_Range() {
	cli, ctx, done := exampleClient()
	defer done()

	for _, k := range []string{"a", "b", "c"} {
		must(cli.Put(ctx, "range/"+k, "value of "+k))
	}
	for kv, err := range cli.Range(ctx, "range/") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", kv.Key, kv.Value)
	}
	// Output:
	// range/a: value of a
	// range/b: value of b
	// range/c: value of c
}

func ExampleClient_PutAll() {
	cli, ctx, done := exampleClient()
	defer done()

	settings := func(yield func(key, val string) bool) {
		for i := range 1000 {
			if !yield(fmt.Sprintf("bulk/%03d", i), "v") {
				return
			}
		}
	}
	res := must(
		cli.PutAll(ctx, settings, clientv3.WithBulkInFlight(1), clientv3.WithBulkProgress(func(r clientv3.BulkResult) {
			if r.Chunks%4 == 0 {
				fmt.Println(r.Keys, "written, up to", r.Last)
			}
		})),
	)
	fmt.Println(res.Keys, "written")

	res = must(cli.CopyPrefix(ctx, "bulk/", "bulk-copy/", clientv3.WithBulkOnlyAbsent()))
	fmt.Println(res.Keys, "copied,", res.Conflicts, "conflicts")

	for _, prefix := range []string{"bulk/", "bulk-copy/"} {
		res = must(cli.DeleteAll(ctx, prefix))
		fmt.Println(res.Keys, "deleted")
	}
	// Output:
	// 512 written, up to bulk/511
	// 1000 written, up to bulk/999
	// 1000 written
	// 1000 copied, 0 conflicts
	// 1000 deleted
	// 1000 deleted
}
