package batch_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// gate is a KV that notes the operations it gets, and holds them back while it is shut.
type gate struct {
	clientv3.KV
	mu    sync.Mutex
	ops   []clientv3.Op // guarded by mu; in the order of arrival
	ended []error       // guarded by mu; of those whose context ended at the gate
	open  chan struct{} // guarded by mu; closed while open
}

func newGate(below clientv3.KV) *gate { return &gate{KV: below, open: make(chan struct{})} }

func (g *gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	g.mu.Lock()
	g.ops = append(g.ops, op)
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return g.KV.Do(ctx, op)
	case <-ctx.Done():
		g.mu.Lock()
		g.ended = append(g.ended, ctx.Err())
		g.mu.Unlock()
		return clientv3.OpResponse{}, ctx.Err()
	}
}

// sizes returns how many operations each request had, 0 for one that was no transaction.
func (g *gate) sizes() (list []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, op := range g.ops {
		_, then, _ := op.Txn()
		list = append(list, len(then))
	}
	return list
}

// saw counts the keys with a prefix that were requested.
func (g *gate) saw(prefix string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	keys := make(map[string]bool)
	for _, op := range g.ops {
		_, then, _ := op.Txn()
		for _, op := range append(then[:len(then):len(then)], op) {
			if k := string(op.KeyBytes()); strings.HasPrefix(k, prefix) {
				keys[k] = true
			}
		}
	}
	return len(keys)
}

func (g *gate) endings() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.ended)
}

// methods counts the requests of a client.
type methods struct {
	mu sync.Mutex
	n  map[string]int // guarded by mu
}

func (m *methods) count(a clientv3.AttemptInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n == nil {
		m.n = make(map[string]int)
	}
	m.n[a.Method]++
}

func (m *methods) of(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n[name]
}

// dial makes a client that is closed with the test.
func dial(t testing.TB, cfg clientv3.Config) *clientv3.Client {
	t.Helper()
	cfg.Logger = zap.NewNop()
	c, err := clientv3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// counted is a client of the shared server whose requests are counted.
func counted(t testing.TB) (*clientv3.Client, *methods) {
	t.Helper()
	clienttest.Shared(t) // removes the test's keys
	m := &methods{}
	return dial(
		t,
		clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints(), Hooks: clientv3.Hooks{Attempt: m.count}},
	), m
}

// crowd runs f in n goroutines.
func crowd(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
