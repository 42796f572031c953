package prom_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/adapters/prom"
	"github.com/fairlead-go/fairlead/clientv3"
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
