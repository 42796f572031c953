package prom_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/adapters/prom"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func TestMetrics(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	m := prom.New()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	var chained int
	c, err := clientv3.New(clientv3.Config{Endpoints: cl.Endpoints(), Logger: zap.NewNop(),
		Hooks: clientv3.JoinHooks(m.Hooks(), clientv3.Hooks{Watch: func(clientv3.WatchInfo) { chained++ }})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m.Follow(c)
	ctx := clienttest.Within(t, clienttest.Long)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	<-c.Watch(watching, t.Name(), clientv3.WithCreatedNotify())
	if _, err := c.Put(ctx, t.Name(), "1"); err != nil {
		t.Fatal(err)
	}
	if r := <-c.Watch(ctx, t.Name(), clientv3.WithRev(1), clientv3.WithPrevKV()); r.Err() != nil {
		t.Fatal(r.Err())
	}
	g, err := c.Grant(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	clienttest.Receive(t, "the first renewal", kept)
	if _, err := c.Get(ctx, "\x00missing", clientv3.WithRev(1<<40)); err == nil {
		t.Fatal("a revision of the future was read")
	}
	// Await the reports: those of the end of a watch and of a lease come a little later.
	member := cl.Endpoints()[0]
	want := func(names []string, lines ...string) {
		t.Helper()
		var last error
		defer func() {
			if last != nil {
				t.Log(last)
			}
		}()
		clienttest.Await(t, strings.Join(names, ", "), func() bool {
			last = testutil.GatherAndCompare(registry, strings.NewReader(strings.Join(lines, "\n")+"\n"), names...)
			return last == nil
		})
	}
	want(
		[]string{"fairlead_watches", "fairlead_leases_at_risk"},
		"# HELP fairlead_watches Watches that are open.",
		"# TYPE fairlead_watches gauge",
		"fairlead_watches 2",
		"# HELP fairlead_leases_at_risk Leases with a renewal that was not acknowledged as it should have been.",
		"# TYPE fairlead_leases_at_risk gauge",
		"fairlead_leases_at_risk 0",
	)
	stop()
	want(
		[]string{"fairlead_watches"},
		"# HELP fairlead_watches Watches that are open.",
		"# TYPE fairlead_watches gauge",
		"fairlead_watches 1",
	)
	counted := series(t, registry, "fairlead_attempts_total")
	for _, labels := range []string{"code=OK member=" + member + " method=KV.Put", "code=OK member=" + member +
		" method=Lease.LeaseGrant", "code=OutOfRange member=" + member + " method=KV.Range"} {
		if counted[labels] != 1 {
			t.Errorf("%s: %v, want 1, of %v", labels, counted[labels], counted)
		}
	}
	if _, err := c.Revoke(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	want(
		[]string{"fairlead_lease_events_total"},
		"# HELP fairlead_lease_events_total What happened to leases.",
		"# TYPE fairlead_lease_events_total counter",
		`fairlead_lease_events_total{event="ended"} 1`,
		`fairlead_lease_events_total{event="granted"} 1`,
		`fairlead_lease_events_total{event="renewed"} 1`,
	)
	states := func(now string) []string {
		lines := []string{
			"# HELP fairlead_member_state 1 for the state that a member is in, else 0.",
			"# TYPE fairlead_member_state gauge",
		}
		for _, s := range []string{"connecting", "ejected", "healthy", "stalled"} {
			lines = append(lines,
				fmt.Sprintf(`fairlead_member_state{member=%q,state=%q} %d`, member, s, map[bool]int{true: 1}[s == now]))
		}
		return lines
	}
	want([]string{"fairlead_member_state"}, states("healthy")...)
	cl.Members()[0].Kill()
	want([]string{"fairlead_member_state"}, states("connecting")...)
	clienttest.Await(t, "a failed stream", func() bool {
		n, err := testutil.GatherAndCount(registry, "fairlead_streams_failed_total")
		return err == nil && n > 0
	})
	if chained < 3 {
		t.Errorf("the user's own hook was called %d times", chained)
	}
	m.Unfollow(c)
	if n, err := testutil.GatherAndCount(registry, "fairlead_member_state"); err != nil || n != 0 {
		t.Errorf("%d series of a client that is not followed any more, %v", n, err)
	}
}

// series returns the values of one metric by its labels.
func series(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			all[strings.Join(labels, " ")] = m.GetCounter().GetValue()
		}
	}
	return all
}
