package clientv3_test

import (
	"fmt"

	"github.com/fairlead-go/fairlead/clientv3"
)

func ExampleLease() {
	cli, ctx, done := exampleClient()
	defer done()

	// A key that lives as long as this process renews its lease.
	lease := must(cli.Grant(ctx, 5))
	must(cli.Put(ctx, "lease/alive", "yes", clientv3.WithLease(lease.ID)))
	renewals := must(cli.KeepAlive(ctx, lease.ID))
	fmt.Println("renewed for", (<-renewals).TTL, "seconds")

	must(cli.Revoke(ctx, lease.ID))
	for range renewals { // closed: the lease is gone
	}
	fmt.Println("keys left:", must(cli.Get(ctx, "lease/alive")).Count)
	// Output:
	// renewed for 5 seconds
	// keys left: 0
}
