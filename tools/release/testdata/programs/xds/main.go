// A control plane that tells its client where a service is.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	api "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/xds"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Context: ctx})
	if err != nil {
		return err
	}
	defer cli.Close()
	directory := discovery.NewDirectory(cli)
	defer directory.Close()
	server, err := xds.New(directory)
	if err != nil {
		return err
	}
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g := grpc.NewServer(xds.ServerOptions()...)
	server.Register(g)
	go g.Serve(listener)
	defer g.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := api.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return err
	}
	q := &api.DiscoveryRequest{TypeUrl: "type.googleapis.com/envoy.config.listener.v3.Listener", ResourceNames: []string{"orders"}}
	if err := stream.Send(q); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	fmt.Printf("told a client of %d listener\n", len(answer.Resources))
	return nil
}
