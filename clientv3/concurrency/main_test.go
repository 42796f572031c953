package concurrency_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// long is far above what anything here takes on a busy machine; soon is what must be quick
// takes at most there.
const (
	long = 30 * time.Second
	soon = 3 * time.Second
)

func dial(t testing.TB, endpoints []string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// shared is a client of the server that the tests share; tests use keys of their name.
func shared(t testing.TB) *clientv3.Client {
	t.Helper()
	c := dial(t, etcdtest.Shared(t).Endpoints())
	t.Cleanup(func() {
		if _, err := c.Delete(context.Background(), t.Name(), clientv3.WithPrefix()); err != nil {
			t.Errorf("remove the test's keys: %v", err)
		}
	})
	return c
}

// session makes one that ends with the test.
func session(t testing.TB, c *clientv3.Client, opts ...concurrency.SessionOption) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Orphan)
	return s
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func ends(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(long):
		t.Fatalf("%s: not within %v", what, long)
	}
}

// await asks again and again until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(long); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, long)
		}
	}
}

func keys(t testing.TB, c *clientv3.Client, prefix string) []string {
	t.Helper()
	r, err := c.Get(within(t, long), prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, kv := range r.Kvs {
		list = append(list, string(kv.Key))
	}
	return list
}

// frozen is a cluster of one that does not answer any more, and a session on it.
func frozen(t *testing.T) (*etcdtest.Member, *concurrency.Session, func()) {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{})
	s := session(t, dial(t, c.Endpoints()))
	m := c.Members()[0]
	return m, s, func() {
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Thaw() })
	}
}

// returns asserts that f ends soon after its context does, with its error.
func returns(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := f(ctx); err != context.DeadlineExceeded {
		t.Errorf("%s: %v", what, err)
	}
	if d := time.Since(began); d > 300*time.Millisecond+soon {
		t.Errorf("%s returned after %v", what, d)
	} else {
		t.Logf("%s returned %v after its context's end", what, d-300*time.Millisecond)
	}
}
