package snippets

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
)

// Register keeps an instance of a service until ctx ends.
func Register(ctx context.Context, cli *clientv3.Client) error {
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	registration, err := registrar.Register(ctx, discovery.Instance{
		Service:   "orders",
		ID:        "orders-1",
		Addresses: []string{"10.0.0.1:8080"},
	})
	if err != nil {
		return err
	}
	defer registration.Drain(context.Background(), 10*time.Second)
	<-ctx.Done()
	return nil
}

// Follow calls a service over HTTP and gRPC.
func Follow(cli *clientv3.Client) error {
	directory := discovery.NewDirectory(cli)
	defer directory.Close()

	web := &http.Client{Transport: httpdisc.New(directory)} // web.Get("http://orders/v1/list")

	conn, err := grpc.NewClient("etcd:///orders",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithResolvers(grpcdisc.NewBuilder(directory)),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"fairlead_p2c":{}}]}`))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = web.Get("http://orders/v1/list")
	return err
}

// Fallback follows services of two clusters: those of the second where the first has none that can
// be used.
func Fallback(cli, eastClient *clientv3.Client) *discovery.Directory {
	directory := discovery.NewDirectory(cli, discovery.WithFallback("east", eastClient))
	return directory
}

// Mount has the console in a program's own server.
func Mount(client *clientv3.Client, mux *http.ServeMux, secret string) error {
	c, err := console.New(client, console.WithToken(secret), console.WithBasePath("/etcd/"))
	if err != nil {
		return err
	}
	mux.Handle("/etcd/", c)
	return nil
}
