package prom_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/adapters/prom"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func Example() {
	server, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	m := prom.New()
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	cli, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints(), Hooks: m.Hooks(), Logger: zap.NewNop()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	m.Follow(cli)

	if _, err := cli.Put(context.Background(), "prom", "1"); err != nil {
		log.Fatal(err)
	}
	n, err := testutil.GatherAndCount(registry, "fairlead_attempts_total")
	fmt.Println(n, err)
	// Output: 1 <nil>
}

// Everything that can be seen of services: the instances that this process registers and drains,
// the calls that it makes and to which instances, how they are split, and the age of its views.
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
	s := prom.NewServices()
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)

	// In a service: what happens to its registration, drains above all.
	records := discovery.JSON{Base: "/example-prom/"}
	registrar := discovery.NewRegistrar(cli, discovery.WithFormat(records), discovery.WithEvents(s.Event))
	defer registrar.Close()
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	orders, err := registrar.Register(ctx, discovery.Instance{
		Service: "orders", ID: "1", Version: "v1", Addresses: []string{backend.URL},
	})
	if err != nil {
		log.Fatal(err)
	}

	// In a program that calls it: hooks report ejections and attempts, and the registry collects
	// the rest.
	directory := discovery.NewDirectory(cli, discovery.WithFormat(records))
	defer directory.Close()
	transport := httpdisc.New(directory, httpdisc.WithPicking(s.Picking()))
	defer transport.Close()
	view, err := directory.Subscribe("orders")
	if err != nil {
		log.Fatal(err)
	}
	s.Follow("orders", func() []pick.Status { return transport.Statuses("orders") })
	s.FollowSplit("orders", func() []pick.SubsetStatus { return transport.Split("orders") })
	s.FollowViews("orders", view.Clusters)

	resp, err := (&http.Client{Transport: transport}).Get("http://orders/")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		fmt.Println(f.GetName())
	}
	if err := orders.Drain(ctx, time.Second); err != nil {
		log.Fatal(err)
	}
	n, err := testutil.GatherAndCount(registry, "fairlead_registration_drain_seconds_total")
	fmt.Println("drains of", n, "service", err)
	// Output:
	// fairlead_instance_attempts_total
	// fairlead_instance_draining
	// fairlead_instance_ejected
	// fairlead_instance_latency_seconds
	// fairlead_instance_outstanding
	// fairlead_instance_share
	// fairlead_instance_trial
	// fairlead_registration_events_total
	// fairlead_view_age_seconds
	// fairlead_view_instances
	// fairlead_view_stale
	// fairlead_view_used
	// drains of 1 service <nil>
}

func ExampleServices_Picking() {
	var directory *discovery.Directory // your own

	s := prom.NewServices()
	prometheus.MustRegister(s)
	transport := httpdisc.New(directory, httpdisc.WithPicking(s.Picking())) // grpcdisc.NewBuilder takes the same option
	s.Follow("orders", func() []pick.Status { return transport.Statuses("orders") })
}
