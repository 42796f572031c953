package otel_test

import (
	"context"
	"fmt"
	"log"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/adapters/otel"
	"github.com/fairlead-go/fairlead/clientv3"
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
