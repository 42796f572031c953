package httpdisc_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// setSplit changes the split as an operator does.
func setSplit(t testing.TB, c *clientv3.Client, service, words string) {
	t.Helper()
	err := discovery.ChangeControl(within(t), c, service, func(ctl *discovery.Control) (err error) {
		ctl.Split, err = discovery.ParseSplit(strings.Fields(words)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// version registers a server as an instance of a version.
func version(t testing.TB, r *discovery.Registrar, s *server, v string) *discovery.Registration {
	t.Helper()
	g, err := r.Register(within(t),
		discovery.Instance{Service: t.Name(), ID: s.name, Addresses: []string{s.addr()}, Version: v})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// An operator changes the split while requests run, and an instance of one version goes in the
// middle: no request fails, and later requests follow the new split.
func TestSplitWhileRequestsRun(t *testing.T) {
	c := clienttest.Shared(t)
	r, tr := setup(t, c, httpdisc.WithPolicy(pick.Random()))
	t.Cleanup(func() { _, _ = c.Delete(context.Background(), "/fairlead/control/"+t.Name()) })
	of := map[string]string{"a": "v1", "b": "v1", "c": "v2"}
	var last *discovery.Registration
	for _, name := range []string{"a", "b", "c"} {
		last = version(t, r, serve(t, name), of[name])
	}
	url := "http://" + t.Name() + "/"
	get := func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
		defer cancel()
		name, _, status, err := do(tr, request(t, ctx, "GET", url, nil))
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		return of[name], err
	}
	var callers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := get(); err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
			}
		})
	}
	clienttest.Await(t, "the instances are known", func() bool { return len(tr.Statuses(t.Name())) == 3 })
	shares := func(want float64, split string) {
		t.Helper()
		clienttest.Await(t, "the split "+split, func() bool {
			var words []string
			for _, s := range tr.Split(t.Name()) {
				words = append(words, fmt.Sprintf("%s=%.0f", s.Filter, s.Share))
			}
			return strings.Join(words, " ") == split
		})
		const n = 500
		canary := 0
		for range n {
			v, err := get()
			if err != nil {
				t.Fatal(err)
			}
			if v == "v2" {
				canary++
			}
		}
		// five standard deviations
		if margin := 5 * math.Sqrt(n*want*(1-want)); math.Abs(float64(canary)-n*want) > margin {
			t.Errorf("%s: %d of %d went to v2", split, canary, n)
		}
	}
	setSplit(t, c, t.Name(), "v1=95 v2=5")
	shares(0.05, "v1=95 v2=5")
	setSplit(t, c, t.Name(), "v1=50 v2=50")
	shares(0.5, "v1=50 v2=50")
	if err := last.Drain(within(t), clienttest.Long); err != nil {
		t.Fatal(err)
	}
	shares(0, "v1=100 v2=0")
	version(t, r, serve(t, "c"), "v2")
	shares(0.5, "v1=50 v2=50")
	setSplit(t, c, t.Name(), "v1=0 v2=100")
	shares(1, "v1=0 v2=100")
	setSplit(t, c, t.Name(), "")
	shares(1.0/3, "")
	close(stop)
	callers.Wait()
}

func TestFilterHeader(t *testing.T) {
	c := clienttest.Shared(t)
	r, tr := setup(t, c, httpdisc.WithFilterHeader("X-Only"))
	t.Cleanup(func() { _, _ = c.Delete(context.Background(), "/fairlead/control/"+t.Name()) })
	version(t, r, serve(t, "a"), "v1")
	version(t, r, serve(t, "b"), "v2")
	setSplit(t, c, t.Name(), "v1=100 v2=0")
	get := func(filter string) (string, error) {
		req := request(t, within(t), "GET", "http://"+t.Name()+"/", nil)
		if filter != "" {
			req.Header.Set("X-Only", filter)
		}
		name, _, _, err := do(tr, req)
		return name, err
	}
	if name, err := get("v2"); err != nil || name != "b" { // the first request waits for etcd's answer too
		t.Errorf("the first request: %q, %v", name, err)
	}
	clienttest.Await(
		t,
		"the split",
		func() bool { return len(tr.Split(t.Name())) == 2 && len(tr.Statuses(t.Name())) == 2 },
	)
	for range 50 {
		if name, err := get(""); err != nil || name != "a" {
			t.Errorf("%q, %v", name, err)
		}
		if name, err := get("version=v2"); err != nil || name != "b" {
			t.Errorf("%q, %v", name, err)
		}
	}
	if _, err := get("v9"); !errors.Is(err, pick.ErrNoInstances) || !strings.Contains(err.Error(), "v9") {
		t.Errorf("%v", err)
	}
	if _, err := get("color=red"); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
