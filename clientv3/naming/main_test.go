package naming_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// long is far more than any test here takes on a busy machine.
const long = 30 * time.Second

func dial(t testing.TB, endpoints ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func shared(t testing.TB) *clientv3.Client {
	t.Helper()
	c := dial(t, etcdtest.Shared(t).Endpoints()...)
	_, err := c.Delete(within(t, long), t.Name(), clientv3.WithPrefix()) // keys of an earlier run
	ok(t, "Delete", err)
	return c
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func ok(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// watching is a Watcher with the updates that it has returned.
type watching struct {
	naming.Watcher
	t *testing.T
}

func resolve(t *testing.T, c *clientv3.Client) *watching {
	t.Helper()
	w, err := (&naming.GRPCResolver{Client: c}).Resolve(t.Name())
	ok(t, "Resolve", err)
	t.Cleanup(w.Close)
	return &watching{w, t}
}

type result struct {
	updates []*naming.Update
	err     error
}

// async calls Next in the background.
func (w *watching) async() <-chan result {
	c := make(chan result, 1)
	go func() {
		u, err := w.Next()
		c <- result{u, err}
	}()
	return c
}

func (w *watching) next() ([]*naming.Update, error) {
	w.t.Helper()
	select {
	case r := <-w.async():
		return r.updates, r.err
	case <-time.After(long):
		w.t.Fatalf("Next has not returned within %v", long)
	}
	return nil, nil
}

func words(updates []*naming.Update) []string {
	said := make([]string, len(updates))
	for i, u := range updates {
		said[i] = fmt.Sprintf("%c%s %v", "+-"[u.Op], u.Addr, u.Metadata)
	}
	return said
}

func (w *watching) says(want ...string) {
	w.t.Helper()
	u, err := w.next()
	if got := words(u); err != nil || !slices.Equal(got, want) {
		w.t.Errorf("Next says %q, %v, want %q", got, err, want)
	}
}
