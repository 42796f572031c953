package otel_test

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/adapters/otel"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// values are all series, by name and attributes.
func values(t *testing.T, r *sdk.ManualReader) map[string]float64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	put := func(name string, attrs attribute.Set, v float64) {
		all[name+"{"+attrs.Encoded(attribute.DefaultEncoder())+"}"] = v
	}
	for _, s := range rm.ScopeMetrics {
		if s.Scope.Name != otel.Scope {
			t.Errorf("scope %q", s.Scope.Name)
		}
		for _, m := range s.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Sum[float64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, float64(p.Count))
				}
			default:
				t.Errorf("%s: %T", m.Name, d)
			}
		}
	}
	return all
}

func TestMetrics(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	reader := sdk.NewManualReader()
	m, err := otel.New(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: cl.Endpoints(), Logger: zap.NewNop(), Hooks: m.Hooks()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m.Follow(c)
	ctx := clienttest.Within(t, clienttest.Long)
	<-c.Watch(ctx, t.Name(), clientv3.WithCreatedNotify())
	g, err := c.Grant(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, t.Name(), "1", clientv3.WithLease(g.ID)); err != nil {
		t.Fatal(err)
	}
	kept, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	clienttest.Receive(t, "the first renewal", kept)
	member := "member=" + cl.Endpoints()[0]
	got := values(t, reader)
	for series, want := range map[string]float64{
		"fairlead.attempts{code=OK," + member + ",method=KV.Put}": 1,
		"fairlead.attempt.duration{" + member + ",method=KV.Put}": 1,
		"fairlead.watches{}":                                    1,
		"fairlead.leases.at_risk{}":                             0,
		"fairlead.lease.events{event=granted}":                  1,
		"fairlead.lease.events{event=renewed}":                  1,
		"fairlead.member.state{" + member + ",state=healthy}":   1,
		"fairlead.member.state{" + member + ",state=ejected}":   0,
		"fairlead.streams.opened{" + member + ",service=Watch}": 1,
		"fairlead.streams.opened{" + member + ",service=Lease}": 1,
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", series, v, ok, want)
		}
	}
	if got["fairlead.member.latency{"+member+"}"] <= 0 {
		t.Error("no latency of the member")
	}
	cl.Members()[0].Kill()
	clienttest.Await(t, "the loss of the lease is counted", func() bool {
		return values(t, reader)["fairlead.leases.lost{reason=unrenewed}"] == 1
	})
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	for series := range values(t, reader) {
		if series == "fairlead.watches{}" {
			t.Error("something is observed after Close")
		}
	}
}
