package grpcdisc_test

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

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cli := clienttest.ForExample()
	defer cli.Close()

	// A service that says where it is.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	go s.Serve(l)
	defer s.Stop()
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	_, err = registrar.Register(ctx,
		discovery.Instance{Service: "prices", ID: "prices-1", Addresses: []string{l.Addr().String()}})
	if err != nil {
		log.Fatal(err)
	}

	// A program that calls it.
	directory := discovery.NewDirectory(cli)
	defer directory.Close()
	conn, err := grpc.NewClient("etcd:///prices", grpc.WithResolvers(grpcdisc.NewBuilder(directory)),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"fairlead_p2c":{"warmUp":"30s"}}]}`),
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
