package concurrency_test

import (
	"context"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// soon is what something quick takes at most on a busy machine.
const soon = 3 * time.Second

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

func ends(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(clienttest.Long):
		t.Fatalf("%s: not within %v", what, clienttest.Long)
	}
}

func keys(t testing.TB, c *clientv3.Client, prefix string) []string {
	t.Helper()
	r, err := c.Get(
		clienttest.Within(t, clienttest.Long),
		prefix,
		clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend),
	)
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
	s := session(t, clienttest.Dial(t, c.Endpoints()...))
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
	returnsAfter(t, what, 300*time.Millisecond, f)
}

// returnsAfter is returns with a context for a time, in which f does what it can.
func returnsAfter(t *testing.T, what string, limit time.Duration, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	if err := f(ctx); err != context.DeadlineExceeded {
		t.Errorf("%s: %v", what, err)
	}
	if d := time.Since(began); d > limit+soon {
		t.Errorf("%s returned after %v", what, d)
	} else {
		t.Logf("%s returned %v after its context's end", what, d-limit)
	}
}

var ok = clienttest.OK
