package otel_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/fairlead-go/fairlead/adapters/otel"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// An instance that fails is counted and shown as left out, and its part of the split goes to the
// others.
func TestServices(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	records := discovery.JSON{Base: t.Name() + "/"}
	reader := sdk.NewManualReader()
	services, err := otel.NewServices(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	r := discovery.NewRegistrar(c, discovery.WithFormat(records), discovery.WithEvents(services.Event))
	defer r.Close()
	d := discovery.NewDirectory(c, discovery.WithFormat(records))
	defer d.Close()
	split := func(s discovery.Split) {
		t.Helper()
		err := discovery.ChangeControl(ctx, c, "payments", func(ctl *discovery.Control) error {
			ctl.Split = s
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	split(discovery.Split{"good": 60, "bad": 40})
	defer split(nil)
	var g *discovery.Registration
	for id, status := range map[string]int{"good": http.StatusOK, "bad": http.StatusServiceUnavailable} {
		s := httptest.NewServer(
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }),
		)
		defer s.Close()
		var err error
		if g, err = r.Register(ctx,
			discovery.Instance{Service: "payments", ID: id, Version: id, Addresses: []string{s.URL}}); err != nil {
			t.Fatal(err)
		}
	}
	tr := httpdisc.New(d, httpdisc.WithPolicy(pick.RoundRobin()), httpdisc.WithPicking(services.Picking()))
	defer tr.Close()
	services.Follow("payments", func() []pick.Status { return tr.Statuses("payments") })
	services.FollowSplit("payments", func() []pick.SubsetStatus { return tr.Split("payments") })
	sub, err := d.Subscribe("payments")
	if err != nil {
		t.Fatal(err)
	}
	services.FollowViews("payments", sub.Clusters)
	client := &http.Client{Transport: tr}
	call := func() {
		t.Helper()
		resp, err := client.Get("http://payments/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	clienttest.Await(t, "the bad one is ejected", func() bool {
		call()
		shares := tr.Split("payments")
		return len(shares) == 2 && shares[1].Share == 100
	})
	call() // each call is drawn, so the first five may all have gone to the bad one
	got := values(t, reader)
	for name, want := range map[string]float64{
		"fairlead.instance.ejected{instance=bad,service=payments}":                 1,
		"fairlead.instance.ejected{instance=good,service=payments}":                0,
		"fairlead.instance.ejections{instance=bad,reason=failed,service=payments}": 1,
		"fairlead.split.percent{service=payments,subset=bad}":                      40,
		"fairlead.split.share{service=payments,subset=good}":                       100,
		"fairlead.split.instances{service=payments,subset=bad}":                    0,
		"fairlead.view.stale{cluster=,service=payments}":                           0,
		"fairlead.view.used{cluster=,service=payments}":                            1,
		"fairlead.view.instances{cluster=,service=payments}":                       2,
	} {
		if is, ok := got[name]; !ok || is != want {
			t.Errorf("%s: %v (%v), not %v", name, is, ok, want)
		}
	}
	if err := g.Drain(ctx, clienttest.Long); err != nil {
		t.Fatal(err)
	}
	got = values(t, reader)
	for _, name := range []string{
		"fairlead.instance.attempts{instance=good,kind=first,outcome=success,service=payments}",
		"fairlead.instance.attempts{instance=bad,kind=first,outcome=failure,service=payments}",
		"fairlead.registration.events{event=left,service=payments}",
		"fairlead.registration.drain.duration{service=payments}",
	} {
		if got[name] <= 0 {
			t.Errorf("%s: %v", name, got[name])
		}
	}
	services.Follow("payments", nil)
	services.FollowSplit("payments", nil)
	services.FollowViews("payments", nil)
	for name := range values(t, reader) { // counters stay
		if strings.HasPrefix(name, "fairlead.split.") || strings.HasPrefix(name, "fairlead.view.") ||
			strings.HasPrefix(name, "fairlead.instance.ejected") {
			t.Errorf("of a service that is not followed any more: %s", name)
		}
	}
	if err := services.Close(); err != nil {
		t.Error(err)
	}
}

// The document has each metric, with its unit.
func TestServicesAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../../docs/services.md")
	if err != nil {
		t.Fatal(err)
	}
	m := &naming{}
	if _, err := otel.NewServices(m); err != nil {
		t.Fatal(err)
	}
	if len(m.cells) == 0 {
		t.Error("no metric")
	}
	for _, cell := range m.cells {
		if !strings.Contains(string(document), cell) {
			t.Errorf("docs/services.md has no %s", cell)
		}
	}
}

// naming collects the metrics as they are to stand in a table.
type naming struct {
	embedded.MeterProvider
	cells []string
}

func (n *naming) Meter(string, ...metric.MeterOption) metric.Meter { return namingMeter{n: n} }

type namingMeter struct {
	noop.Meter
	n *naming
}

func (m namingMeter) note(name, unit string) {
	cell := "| `" + name + "` "
	if unit == "s" || unit == "%" {
		cell += "(" + unit + ") "
	}
	m.n.cells = append(m.n.cells, cell+"|")
}

func (m namingMeter) Int64Counter(name string, o ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	m.note(name, metric.NewInt64CounterConfig(o...).Unit())
	return m.Meter.Int64Counter(name, o...)
}

func (m namingMeter) Float64Counter(name string, o ...metric.Float64CounterOption) (metric.Float64Counter, error) {
	m.note(name, metric.NewFloat64CounterConfig(o...).Unit())
	return m.Meter.Float64Counter(name, o...)
}

func (m namingMeter) Float64ObservableGauge(
	name string, o ...metric.Float64ObservableGaugeOption,
) (metric.Float64ObservableGauge, error) {
	m.note(name, metric.NewFloat64ObservableGaugeConfig(o...).Unit())
	return m.Meter.Float64ObservableGauge(name, o...)
}
