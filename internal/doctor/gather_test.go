package doctor

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func TestRealClusters(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := clienttest.Dial(t, cl.Endpoints()...)
	look := func() (*Facts, []string) {
		t.Helper()
		f, err := Gather(
			clienttest.Within(t, clienttest.Long),
			c,
			Options{Pages: true, Leases: true, Timeout: 5 * time.Second},
		)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, g := range Judge(f) {
			if g.Severity == Problem {
				list = append(list, g.What)
			}
		}
		return f, list
	}
	g, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	f, problems := look()
	if len(problems) != 0 || len(f.Members) != 3 || f.AllLeases != 1 || len(f.Leases) != 1 ||
		f.Leases[0].ID != int64(g.ID) ||
		f.AuthOn == nil ||
		*f.AuthOn ||
		f.Remote {
		t.Errorf("a healthy cluster: %q, %+v", problems, f)
	}
	for _, m := range f.Members {
		a, st := m.status()
		if st == nil || !a.HasClock || a.Clock.Abs() > clockTolerance || a.LeadersSeen < 0 {
			t.Errorf("%s: %+v", m.Name, a)
		}
	}
	m := cl.Followers(t)[0] // without an election, which is a problem of its own while it lasts
	var others []*etcdtest.Member
	for _, o := range cl.Members() {
		if o != m {
			others = append(others, o)
		}
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if _, problems = look(); len(problems) != 1 ||
		!strings.Contains(problems[0], "member "+m.Name+" does not answer; just a quorum is left (2 of 3)") {
		t.Errorf("one member is frozen: %q", problems)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	m.Kill()
	if _, problems = look(); !slices.ContainsFunc(problems,
		func(p string) bool { return strings.Contains(p, "member "+m.Name+" does not answer") }) {
		t.Errorf("one member is killed: %q", problems)
	}
	others[0].Kill()
	f, problems = look()
	rules := make(map[string]bool)
	for _, g := range Judge(f) {
		rules[g.Rule] = true
	}
	// A request that fails because there is no quorum is not a problem of its own.
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "1 of 3 voting members answer, 2 are needed") ||
		!rules["no-quorum"] ||
		rules["unknown"] ||
		rules["elections"] ||
		rules["no-leader"] {
		t.Errorf("two members are killed: %q, %v", problems, rules)
	}
	others[1].Kill()
	if f, problems = look(); f.ListErr == nil || len(problems) != 1 {
		t.Errorf("all members are killed: %q", problems)
	}
}

// TestPeriodOfRealMembers: under load the times of commits in the period are known. Earlier commits
// do not count.
func TestPeriodOfRealMembers(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cl.Endpoints()...)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for ctx.Err() == nil {
			_, _ = c.Put(ctx, "k", "v")
		}
	})
	const period = 8 * time.Second
	f, err := Gather(
		clienttest.Within(t, clienttest.Long),
		c,
		Options{Pages: true, Leases: true, Timeout: 5 * time.Second, Period: period},
	)
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := f.Members[0].status(); f.Period < period || a == nil || !a.Commit.Known || a.Commit.P99 <= 0 {
		t.Errorf("%+v, %+v", f, a)
	}
	cancel()
	wg.Wait()
	// Without load there is nothing to judge, whatever was counted before.
	f, err = Gather(
		clienttest.Within(t, clienttest.Long),
		c,
		Options{Pages: true, Leases: true, Timeout: 5 * time.Second, Period: 500 * time.Millisecond},
	)
	if a, _ := f.Members[0].status(); err != nil || f.Period >= period || a == nil || a.Commit.Known ||
		a.NewLeaders != 0 {
		t.Errorf("%v, %+v, %+v", err, f, a)
	}
}

// TestMemberBehindAProxyHasNoProblem: a member may be reachable only at the user's address, not at
// those that it advertises.
func TestMemberBehindAProxyHasNoProblem(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cl.Endpoints()...)
	f, err := Gather(
		clienttest.Within(t, clienttest.Long),
		c,
		Options{Pages: true, Leases: true, Timeout: 5 * time.Second},
	)
	if err != nil || len(f.Members) != 1 || len(f.Members[0].URLs) == 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, g := range Judge(f) {
		if g.Severity == Problem {
			t.Errorf("%s", g.What)
		}
	}
}

// TestReceivedRequestsAreCountedByKind: each server process counts what it has received.
func TestReceivedRequestsAreCountedByKind(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := clienttest.Dial(t, cl.Endpoints()...)
	ctx := clienttest.Within(t, clienttest.Long)
	look := func() (sum [Kinds]float64) {
		t.Helper()
		f, err := Gather(ctx, c, Options{Pages: true, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		list := f.Received()
		if len(list) != 3 {
			t.Fatalf("%d processes: %+v", len(list), list)
		}
		for _, r := range list {
			for k, n := range r.Counts {
				sum[k] += n
			}
		}
		return sum
	}
	before := look()
	for range 40 {
		if _, err := c.Put(ctx, "k", "v"); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		if _, err := c.Get(ctx, "k"); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if _, err := c.Txn(ctx).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		g, err := c.Grant(ctx, 60)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Revoke(ctx, g.ID); err != nil {
			t.Fatal(err)
		}
	}
	<-c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	after := look()
	// Reads may be sent twice, and the client sends some of its own.
	for k, least := range map[Kind]float64{Changes: 40, Reads: 30, Transactions: 20, Leases: 20, Watches: 1} {
		if n := after[k] - before[k]; n < least || n > 3*least+10 {
			t.Errorf("%v: %v, want about %v", k, n, least)
		}
	}
}
