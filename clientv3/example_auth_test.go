package clientv3_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func ExampleAuth() {
	server := must(etcdtest.StartMain(etcdtest.Options{}))
	defer server.Stop()
	cli := must(clientv3.New(clientv3.Config{Endpoints: server.Endpoints()}))
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	// Authentication needs a root user; reader may read the keys under "shop/".
	must(cli.RoleAdd(ctx, "root"))
	must(cli.UserAdd(ctx, "root", "123"))
	must(cli.UserGrantRole(ctx, "root", "root"))
	must(cli.RoleAdd(ctx, "readers"))
	must(
		cli.RoleGrantPermission(
			ctx,
			"readers",
			"shop/",
			clientv3.GetPrefixRangeEnd("shop/"),
			clientv3.PermissionType(clientv3.PermRead),
		),
	)
	must(cli.UserAdd(ctx, "reader", "456"))
	must(cli.UserGrantRole(ctx, "reader", "readers"))
	must(cli.AuthEnable(ctx))

	reader, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints(), Username: "reader", Password: "456"})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	_, err = reader.Get(ctx, "shop/opening-hours")
	fmt.Println("reading:", err)
	_, err = reader.Put(ctx, "shop/opening-hours", "never")
	fmt.Println("writing:", err, err == rpctypes.ErrPermissionDenied)
	// Output:
	// reading: <nil>
	// writing: etcdserver: permission denied true
}
