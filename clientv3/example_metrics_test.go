package clientv3_test

import (
	"context"
	"expvar"
	"fmt"
	"log"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Interceptors see every request that the client sends, also those that it repeats
// by itself; here they are counted for /debug/vars.
func ExampleConfig_metrics() {
	requests := new(expvar.Map)
	count := func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		requests.Add(fmt.Sprint(path.Base(method), " ", status.Code(err)), 1)
		return err
	}
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:   endpoints(),
		DialOptions: []grpc.DialOption{grpc.WithUnaryInterceptor(count)},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.Background()
	must(cli.Put(ctx, "metrics", "1"))
	must(cli.Put(ctx, "metrics", "2"))
	must(cli.Get(ctx, "metrics"))
	fmt.Println(requests)
	// Output: {"Put OK": 2, "Range OK": 1}
}
