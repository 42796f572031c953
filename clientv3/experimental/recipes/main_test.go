package recipe_test

import (
	"context"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func shared(t testing.TB) *clientv3.Client {
	t.Helper()
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	t.Cleanup(func() {
		for _, prefix := range []string{t.Name(), "__" + t.Name()} {
			if _, err := c.Delete(context.Background(), prefix, clientv3.WithPrefix()); err != nil {
				t.Error(err)
			}
		}
	})
	return c
}

func session(t testing.TB, c *clientv3.Client, opts ...concurrency.SessionOption) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Orphan)
	return s
}

// quiet checks that nothing arrives on c while the barrier or lock is held.
func quiet[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: %v", what, v)
	default:
	}
}

func count(t testing.TB, c *clientv3.Client, prefix string) int64 {
	t.Helper()
	r, err := c.Get(clienttest.Within(t, clienttest.Long), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return r.Count
}

// async runs f in the background; its error arrives on the channel.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

var ok = clienttest.OK
