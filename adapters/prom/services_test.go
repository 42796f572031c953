package prom_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fairlead-go/fairlead/adapters/prom"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// An instance that fails is counted and shown as left out.
func TestServices(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	records := discovery.JSON{Base: t.Name() + "/"}
	services := prom.NewServices()
	r := discovery.NewRegistrar(c, discovery.WithFormat(records), discovery.WithEvents(services.Event))
	defer r.Close()
	d := discovery.NewDirectory(c, discovery.WithFormat(records))
	defer d.Close()
	split := func(s discovery.Split) {
		t.Helper()
		err := discovery.ChangeControl(ctx, c, "orders", func(ctl *discovery.Control) error {
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
		g, err = r.Register(ctx, discovery.Instance{Service: "orders", ID: id, Version: id, Addresses: []string{s.URL}})
		if err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(services)
	tr := httpdisc.New(d, httpdisc.WithPolicy(pick.RoundRobin()), httpdisc.WithPicking(services.Picking()))
	defer tr.Close()
	services.Follow("orders", func() []pick.Status { return tr.Statuses("orders") })
	services.FollowSplit("orders", func() []pick.SubsetStatus { return tr.Split("orders") })
	services.Follow("nobody calls it", func() []pick.Status { return tr.Statuses("nobody calls it") })
	client := &http.Client{Transport: tr}
	call := func() {
		t.Helper()
		resp, err := client.Get("http://orders/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	clienttest.Await(t, "the bad one is ejected", func() bool {
		call()
		shares := tr.Split("orders")
		return len(shares) == 2 && shares[1].Share == 100
	})
	call() // each call is drawn, so the first five may all have gone to the bad one
	want := `
# HELP fairlead_instance_ejected 1 while an instance is left out since calls failed, else 0.
# TYPE fairlead_instance_ejected gauge
fairlead_instance_ejected{instance="bad",service="orders"} 1
fairlead_instance_ejected{instance="good",service="orders"} 0
# HELP fairlead_split_instances Instances of the subset that can be picked.
# TYPE fairlead_split_instances gauge
fairlead_split_instances{service="orders",subset="bad"} 0
fairlead_split_instances{service="orders",subset="good"} 1
# HELP fairlead_split_percent The percentage of the calls to a service that operators ask for a subset of its instances.
# TYPE fairlead_split_percent gauge
fairlead_split_percent{service="orders",subset="bad"} 40
fairlead_split_percent{service="orders",subset="good"} 60
# HELP fairlead_split_share The percentage that the subset gets now: more while others have no live instance, 0 while it has none.
# TYPE fairlead_split_share gauge
fairlead_split_share{service="orders",subset="bad"} 0
fairlead_split_share{service="orders",subset="good"} 100
# HELP fairlead_instance_ejections_total Instances left out since calls failed, by whether they stood still.
# TYPE fairlead_instance_ejections_total counter
fairlead_instance_ejections_total{instance="bad",reason="failed",service="orders"} 1
`
	names := []string{
		"fairlead_instance_ejected",
		"fairlead_instance_ejections_total",
		"fairlead_split_instances",
		"fairlead_split_percent",
		"fairlead_split_share",
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"fairlead_instance_attempts_total", "fairlead_instance_draining"} {
		if n := testutil.CollectAndCount(services, name); n < 2 {
			t.Errorf("%s: %d series", name, n)
		}
	}
	if err := g.Drain(ctx, clienttest.Long); err != nil {
		t.Fatal(err)
	}
	want = `
# HELP fairlead_registration_events_total What happened to instances that this process registers.
# TYPE fairlead_registration_events_total counter
fairlead_registration_events_total{event="leaving",service="orders"} 1
fairlead_registration_events_total{event="left",service="orders"} 1
fairlead_registration_events_total{event="registered",service="orders"} 2
`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want), "fairlead_registration_events_total")
	if err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(services, "fairlead_registration_drain_seconds_total"); n != 1 {
		t.Errorf("%d series of drains", n)
	}
	services.Follow("orders", nil)
	services.FollowSplit("orders", nil)
	if n := testutil.CollectAndCount(services, "fairlead_instance_ejected", "fairlead_split_share"); n != 0 {
		t.Errorf("%d series of a service that is not followed any more", n)
	}
}

// The age of what is known of a service, by cluster: while etcd is away the age grows and the view
// is stale. The view stays in use until etcd is back.
func TestFollowViews(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c, east := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	records := discovery.JSON{Base: t.Name() + "/"}
	r := discovery.NewRegistrar(c, discovery.WithFormat(records))
	defer r.Close()
	if _, err := r.Register(ctx, discovery.Instance{Service: "s", ID: "one", Addresses: []string{"h:1"}}); err != nil {
		t.Fatal(err)
	}
	d := discovery.NewDirectory(
		c, discovery.WithFormat(records), discovery.WithFallback("east", east), discovery.WithLog(nil))
	defer d.Close()
	sub, err := d.Subscribe("s")
	if err != nil {
		t.Fatal(err)
	}
	services := prom.NewServices()
	services.FollowViews("s", sub.Clusters)
	shows := func(stale int) bool {
		return testutil.CollectAndCompare(services, strings.NewReader(fmt.Sprintf(`
# HELP fairlead_view_instances Instances that are registered, those that drain included.
# TYPE fairlead_view_instances gauge
fairlead_view_instances{cluster="",service="s"} 1
fairlead_view_instances{cluster="east",service="s"} 0
# HELP fairlead_view_stale 1 while etcd does not answer, or has not yet, else 0.
# TYPE fairlead_view_stale gauge
fairlead_view_stale{cluster="",service="s"} %d
fairlead_view_stale{cluster="east",service="s"} 0
# HELP fairlead_view_used 1 if it is this cluster whose instances are called, else 0.
# TYPE fairlead_view_used gauge
fairlead_view_used{cluster="",service="s"} 1
fairlead_view_used{cluster="east",service="s"} 0
`, stale)), "fairlead_view_instances", "fairlead_view_stale", "fairlead_view_used") == nil
	}
	clienttest.Await(t, "both views are there", func() bool { return shows(0) })
	cluster.Members()[0].Kill()
	clienttest.Await(t, "the view is stale", func() bool { return shows(1) })
	if n := testutil.CollectAndCount(services, "fairlead_view_age_seconds"); n != 2 {
		t.Errorf("%d ages of two views", n)
	}
	if err := cluster.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the view is right again", func() bool { return shows(0) })
	services.FollowViews("s", nil)
	if n := testutil.CollectAndCount(services, "fairlead_view_stale"); n != 0 {
		t.Errorf("%d series of a service that is not followed any more", n)
	}
}

// The document has each metric, with its labels.
func TestServicesAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../../docs/services.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan *prometheus.Desc, 100)
	prom.NewServices().Describe(all)
	close(all)
	about := regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: {([^}]*)}`)
	for d := range all {
		m := about.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("it cannot be parsed: %s", d)
		}
		row := "\n| `" + m[1] + "` | `fairlead."
		_, rest, ok := strings.Cut(string(document), row)
		line, _, _ := strings.Cut(rest, "\n")
		if labels := strings.ReplaceAll(m[2], ",", ", "); !ok || !strings.Contains(line, " | "+labels+" |") {
			t.Errorf("docs/services.md has no row for %s with the labels %s", m[1], labels)
		}
	}
}
