package leasing_test

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(pausedProcess) != "" {
		os.Exit(reader())
	}
	etcdtest.Main(m)
}

// soon bounds calls that must be quick on a busy machine.
const soon = 3 * time.Second

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
		for _, prefix := range []string{t.Name(), "L-" + t.Name()} {
			if _, err := c.Delete(context.Background(), prefix, clientv3.WithPrefix()); err != nil {
				t.Errorf("remove the test's keys: %v", err)
			}
		}
	})
	return c
}

// side is a leasing KV with a client of its own, which counts what is sent.
type side struct {
	clientv3.KV
	cl    *clientv3.Client
	calls *counter
	close func()
}

func leased(t testing.TB, endpoints []string, pfx string, opts ...concurrency.SessionOption) *side {
	t.Helper()
	s := &side{cl: dial(t, endpoints)}
	s.calls = &counter{KV: s.cl.KV}
	s.cl.KV = s.calls
	var err error
	if s.KV, s.close, err = leasing.NewKV(s.cl, pfx, opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// counter counts the calls to the cluster and lets a test change them.
type counter struct {
	clientv3.KV
	n      atomic.Int64
	lists  atomic.Int64 // gets that are no Do: of the leasing keys
	meddle atomic.Pointer[meddler]
}

// meddler executes a call as it likes; next does it as it should be.
type meddler func(ctx context.Context, op clientv3.Op,
	next func(context.Context) (clientv3.OpResponse, error)) (clientv3.OpResponse, error)

func (c *counter) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := c.KV.Get(ctx, key, opts...)
	c.lists.Add(1)
	return r, err
}

func (c *counter) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if ctx == nil || ctx.Err() == nil { // else nothing is sent
		c.n.Add(1)
	}
	next := func(ctx context.Context) (clientv3.OpResponse, error) { return c.KV.Do(ctx, op) }
	if m := c.meddle.Load(); m != nil {
		return (*m)(ctx, op, next)
	}
	return next(ctx)
}

// get reads a key, "" if it is absent.
func (s *side) get(t testing.TB, key string) string {
	t.Helper()
	r, err := s.Get(within(t), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

func (s *side) put(t testing.TB, key, value string, opts ...clientv3.OpOption) {
	t.Helper()
	if _, err := s.Put(within(t), key, value, opts...); err != nil {
		t.Fatal(err)
	}
}

// owns makes the side own the key. It may have to wait until another side has given the key up, or
// until a key that this side gave up may be taken again.
func (s *side) owns(t testing.TB, key string) {
	t.Helper()
	clienttest.Await(t, "owning "+key, func() bool {
		s.get(t, key)
		return s.local(func() { s.get(t, key) })
	})
}

// local reports whether f was answered without the cluster.
func (s *side) local(f func()) bool {
	before := s.calls.n.Load()
	f()
	return s.calls.n.Load() == before
}

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }
