package clientv3_test

import (
	"fmt"
	"log"
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
