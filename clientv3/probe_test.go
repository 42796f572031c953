package clientv3_test

import (
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestStreamProbeInterval: a connection with a quiet watch is probed as often as the
// configuration says.
func TestStreamProbeInterval(t *testing.T) {
	m := etcdtest.Start(t, etcdtest.Options{}).Members()[0]
	ctx := clienttest.Within(t, clienttest.Long)
	probes := func() float64 {
		n, err := m.Metric(ctx,
			`grpc_server_handled_total{grpc_code="OK",grpc_method="Status",grpc_service="etcdserverpb.Maintenance",grpc_type="unary"}`)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	c := dial(t, clientv3.Config{Endpoints: []string{m.Endpoint}, StreamProbeInterval: 50 * time.Millisecond})
	<-c.Watch(ctx, t.Name(), clientv3.WithCreatedNotify())
	before, began := probes(), time.Now()
	clienttest.Await(t, "ten probes", func() bool { return probes()-before >= 10 })
	if took := time.Since(began); took > 10*time.Second { // with the default it is 15 s
		t.Errorf("ten probes took %v", took)
	}
}

func TestNegativeProbeTimes(t *testing.T) {
	for _, cfg := range []clientv3.Config{{StreamProbeInterval: -1}, {ProbeTimeout: -1}} {
		cfg.Endpoints = []string{"127.0.0.1:1"}
		if _, err := clientv3.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
