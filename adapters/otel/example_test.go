package otel_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"slices"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/adapters/otel"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func Example() {
	server, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	reader := sdk.NewManualReader() // a real program uses an exporter's reader
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	m, err := otel.New(provider)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	cli, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints(), Hooks: m.Hooks(), Logger: zap.NewNop()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	m.Follow(cli)

	if _, err := cli.Put(context.Background(), "otel", "1"); err != nil {
		log.Fatal(err)
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		log.Fatal(err)
	}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if m.Name == "fairlead.attempts" {
			fmt.Println(m.Name, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
		}
	}
	// Output: fairlead.attempts 1
}

// Everything that can be seen of services, with gRPC: the instances that this process registers and
// drains, the calls that it makes and to which instances, how they are split, and the age of its
// views.
func ExampleServices() {
	server, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reader := sdk.NewManualReader()
	s, err := otel.NewServices(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	// In a service: what happens to its registration, drains above all.
	records := discovery.JSON{Base: "/example-otel/"}
	registrar := discovery.NewRegistrar(cli, discovery.WithFormat(records), discovery.WithEvents(s.Event))
	defer registrar.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	backend := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(backend, health.NewServer())
	go backend.Serve(listener)
	defer backend.Stop()
	orders, err := registrar.Register(ctx, discovery.Instance{
		Service: "orders", ID: "1", Version: "v1", Addresses: []string{listener.Addr().String()},
	})
	if err != nil {
		log.Fatal(err)
	}

	// In a program that calls it: hooks report ejections and attempts, and the reader collects the
	// rest.
	directory := discovery.NewDirectory(cli, discovery.WithFormat(records))
	defer directory.Close()
	builder := grpcdisc.NewBuilder(directory, grpcdisc.WithPicking(s.Picking()))
	conn, err := grpc.NewClient(
		"etcd:///orders",
		grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"fairlead_p2c":{}}]}`),
		grpc.WithUnaryInterceptor(grpcdisc.NewInterceptor(grpcdisc.WithAttemptTimeout(time.Second))),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	view, err := directory.Subscribe("orders")
	if err != nil {
		log.Fatal(err)
	}
	s.Follow("orders", func() []pick.Status { return builder.Statuses("orders") })
	s.FollowSplit("orders", func() []pick.SubsetStatus { return builder.Split("orders") })
	s.FollowViews("orders", view.Clusters)

	calls := grpc_health_v1.NewHealthClient(conn)
	if _, err := calls.Check(ctx, new(grpc_health_v1.HealthCheckRequest), grpc.WaitForReady(true)); err != nil {
		log.Fatal(err)
	}
	names := func() (list []string) {
		var rm metricdata.ResourceMetrics
		if err := reader.Collect(ctx, &rm); err != nil {
			log.Fatal(err)
		}
		for _, m := range rm.ScopeMetrics[0].Metrics {
			list = append(list, m.Name)
		}
		slices.Sort(list)
		return list
	}
	for _, name := range names() {
		fmt.Println(name)
	}
	if err := orders.Drain(ctx, time.Second); err != nil {
		log.Fatal(err)
	}
	fmt.Println("drains:", slices.Contains(names(), "fairlead.registration.drain.duration"))
	// Output:
	// fairlead.instance.attempts
	// fairlead.instance.draining
	// fairlead.instance.ejected
	// fairlead.instance.latency
	// fairlead.instance.outstanding
	// fairlead.instance.share
	// fairlead.instance.trial
	// fairlead.registration.events
	// fairlead.view.age
	// fairlead.view.instances
	// fairlead.view.stale
	// fairlead.view.used
	// drains: true
}
