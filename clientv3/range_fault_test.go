package clientv3_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// bigRange is more than what is read ahead of a loop.
const (
	bigRange  = 30000
	bigValues = 1000
)

// Connections break under way; each key comes once.
func TestRangeBrokenConnections(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	direct := dial(t, clientv3.Config{Endpoints: []string{cl.Members()[0].Direct}})
	fill(t, direct, "k", bigRange, bigValues)
	proxy := cl.Members()[0].Proxy()
	cfg := clientv3.Config{Endpoints: cl.Endpoints()}
	for name, c := range map[string]*clientv3.Client{"streamed": dial(t, cfg), "paged": paging(t, cfg)} {
		accepted := proxy.Stats().Accepted
		inOrder(t, c.Range(ctxFor(t, long), "k"), "k", bigRange, func(i int) {
			switch i {
			case 1000:
				proxy.CloseConns()
			case bigRange / 2:
				proxy.Reset()
			}
		})
		if n := proxy.Stats().Accepted - accepted; n < 2 {
			t.Errorf("%s: %d connections: none was broken under way", name, n)
		}
	}
}

// A member that falls silent while it streams: the rest comes from another one.
func TestRangeFrozenMember(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	fill(t, c, "k", bigRange, bigValues)
	ctx := ctxFor(t, 2*long)
	streaming := func(m *etcdtest.Member) bool {
		n, err := m.Metric(ctx,
			`grpc_server_started_total{grpc_method="RangeStream",grpc_service="etcdserverpb.KV",grpc_type="server_stream"}`)
		return err == nil && n > 0
	}
	victim := cl.Followers(t)[0] // of servers that do not stream, any will do
	inOrder(t, c.Range(ctx, "k"), "k", bigRange, func(i int) {
		if i != 10 {
			return
		}
		if i := slices.IndexFunc(cl.Members(), streaming); i >= 0 {
			victim = cl.Members()[i]
		} else if serverAtLeast(t, "3.7") {
			t.Error("no member streams")
		}
		if err := victim.Freeze(); err != nil {
			t.Error(err)
		}
	})
}

// A revision that is compacted under way is an error with that name.
func TestRangeCompacted(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	cfg := clientv3.Config{Endpoints: cl.Endpoints()}
	streamed := dial(t, cfg)
	fill(t, streamed, "k", bigRange, bigValues)
	ctx := ctxFor(t, long)
	for name, c := range map[string]*clientv3.Client{"streamed": streamed, "paged": paging(t, cfg)} {
		n := 0
		var failure error
		for _, err := range c.Range(ctx, "k") {
			if err != nil {
				failure = err
				break
			}
			if n++; n == 10 {
				r, err := c.Put(ctx, fmt.Sprintf("k%06d", 0), "again")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if failure != rpctypes.ErrCompacted || n == bigRange {
			t.Errorf("%s: %v after %d keys", name, failure, n)
		}
	}
}

// The loop ends when its context does, also while the network is silent.
func TestRangeContext(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	direct := dial(t, clientv3.Config{Endpoints: []string{cl.Members()[0].Direct}})
	fill(t, direct, "k", bigRange, bigValues)
	proxy := cl.Members()[0].Proxy()
	cfg := clientv3.Config{Endpoints: cl.Endpoints()}
	for name, c := range map[string]*clientv3.Client{"streamed": dial(t, cfg), "paged": paging(t, cfg)} {
		ctx, cancel := context.WithCancel(ctxFor(t, long))
		var cancelled time.Time
		var failure error
		n := 0
		for _, err := range c.Range(ctx, "k") {
			if failure = err; err != nil {
				break
			}
			if n++; n == 10 {
				proxy.BlackHole()
				time.AfterFunc(200*time.Millisecond, func() { cancelled = time.Now(); cancel() })
			}
		}
		cancel()
		if failure != context.Canceled || n == bigRange {
			t.Errorf("%s: %v after %d keys", name, failure, n)
		} else if took := time.Since(cancelled); took > soon {
			t.Errorf("%s: it took %v to notice", name, took)
		}
		if err := proxy.Heal(); err != nil {
			t.Fatal(err)
		}
	}
}
