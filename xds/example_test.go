package xds_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	grpcxds "google.golang.org/grpc/xds"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/xds"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cli := clienttest.ForExample() // clientv3.New(...) in a program
	defer cli.Close()

	// A service that answers its health checks.
	service, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	instance := grpc.NewServer()
	healthpb.RegisterHealthServer(instance, health.NewServer())
	go instance.Serve(service)
	defer instance.Stop()
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	_, err = registrar.Register(
		ctx,
		discovery.Instance{Service: "rates", ID: "rates-1", Addresses: []string{service.Addr().String()}},
	)
	if err != nil {
		log.Fatal(err)
	}

	// The control plane.
	directory := discovery.NewDirectory(cli)
	defer directory.Close()
	server, err := xds.New(directory)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	control := grpc.NewServer(xds.ServerOptions()...)
	server.Register(control)
	go control.Serve(listener)
	defer control.Stop()

	// A client. Programs import google.golang.org/grpc/xds and find the bootstrap in the file that
	// GRPC_XDS_BOOTSTRAP names.
	bootstrap := fmt.Sprintf(`{"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}],
		"server_features": ["xds_v3"]}], "node": {"id": "example"}}`, listener.Addr())
	resolver, err := grpcxds.NewXDSResolverWithConfigForTesting([]byte(bootstrap))
	if err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///rates", grpc.WithResolvers(resolver),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)
	// Output: SERVING
}
