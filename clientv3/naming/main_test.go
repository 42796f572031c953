package naming_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// watching is a Watcher with the updates that it has returned.
type watching struct {
	naming.Watcher
	t *testing.T
}

func resolve(t *testing.T, c *clientv3.Client) *watching {
	t.Helper()
	w, err := (&naming.GRPCResolver{Client: c}).Resolve(t.Name())
	clienttest.OK(t, "Resolve", err)
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
	case <-time.After(clienttest.Long):
		w.t.Fatalf("Next has not returned within %v", clienttest.Long)
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

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }
