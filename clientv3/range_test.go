package clientv3_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// fill writes n keys below p with values of size bytes.
func fill(t testing.TB, kv clientv3.KV, p string, n, size int) {
	t.Helper()
	var ops []clientv3.Op
	value, bytes := strings.Repeat("x", size), 0
	for i := range n {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%06d", p, i), value))
		if bytes += size; len(ops) == 100 || bytes > 500<<10 || i == n-1 {
			if _, err := kv.Txn(ctxFor(t, long)).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops, bytes = nil, 0
		}
	}
}

func collect(seq iter.Seq2[*mvccpb.KeyValue, error]) (kvs []*mvccpb.KeyValue, err error) {
	for kv, err := range seq {
		if err != nil {
			return kvs, err
		}
		kvs = append(kvs, kv)
	}
	return kvs, nil
}

// inOrder checks that seq yields n keys below p, each once; during is called at each.
func inOrder(t testing.TB, seq iter.Seq2[*mvccpb.KeyValue, error], p string, n int, during func(i int)) {
	t.Helper()
	i := 0
	for kv, err := range seq {
		if err != nil {
			t.Fatalf("after %d keys: %v", i, err)
		}
		if want := fmt.Sprintf("%s%06d", p, i); string(kv.Key) != want {
			t.Fatalf("key %q at %d, want %q", kv.Key, i, want)
		}
		if during != nil {
			during(i)
		}
		i++
	}
	if i != n {
		t.Fatalf("%d of %d keys", i, n)
	}
}

// paging is a client whose servers seem not to know streams.
func paging(t testing.TB, cfg clientv3.Config) *clientv3.Client {
	c := dial(t, cfg)
	c.KV = clientv3.NewKVFromKVClient(noStreams{clientv3.RetryKVClient(c)}, c)
	return c
}

func same(a, b []*mvccpb.KeyValue) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestRangeIsGet(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := shared(t)
	paged := paging(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	fill(t, c, p, 3000, 50)
	fill(t, c, p+"\xff\xff", 20, 5000)
	r, err := c.Put(ctx, p+"000005", "again")
	if err != nil {
		t.Fatal(err)
	}
	rev := r.Header.Revision
	prefixes := []string{p, p + "00", p + "0001", p + "000005", p + "\xff", p + "none"}
	options := []func() clientv3.OpOption{
		func() clientv3.OpOption { return clientv3.WithLimit(rand.Int64N(4000)) },
		func() clientv3.OpOption { return clientv3.WithRev(rev - rand.Int64N(3)) },
		func() clientv3.OpOption { return clientv3.WithMinModRev(rev - rand.Int64N(30)) },
		func() clientv3.OpOption { return clientv3.WithMaxModRev(rev - rand.Int64N(30)) },
		func() clientv3.OpOption { return clientv3.WithMinCreateRev(rev - rand.Int64N(30)) },
		func() clientv3.OpOption { return clientv3.WithMaxCreateRev(rev - rand.Int64N(30)) },
		func() clientv3.OpOption { return clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend) },
		func() clientv3.OpOption { return clientv3.WithRange(p + fmt.Sprintf("%06d", rand.IntN(3000))) },
		clientv3.WithKeysOnly, clientv3.WithSerializable, clientv3.WithFromKey,
		func() clientv3.OpOption { return nil },
	}
	for range 60 {
		prefix := prefixes[rand.IntN(len(prefixes))]
		var opts []clientv3.OpOption
		for range rand.IntN(4) {
			opts = append(opts, options[rand.IntN(len(options))]())
		}
		probe, asked := clientv3.OpGet(prefix, opts...), opts
		if probe.RangeBytes() == nil {
			asked = append(opts[:len(opts):len(opts)], clientv3.WithPrefix())
		}
		want, err := c.Get(ctx, prefix, asked...)
		if err != nil {
			t.Fatalf("%v: %v", probe, err)
		}
		for name, c := range map[string]*clientv3.Client{"streamed": c, "paged": paged} {
			got, err := collect(c.Range(ctx, prefix, opts...))
			if err != nil || !same(got, want.Kvs) {
				t.Errorf("%s: %+v: %d keys, %v; want %d", name, probe, len(got), err, len(want.Kvs))
			}
		}
	}
}

// An empty prefix stands for all keys.
func TestRangeOfAll(t *testing.T) {
	c := shared(t)
	fill(t, c, t.Name()+"/", 100, 10)
	ctx := ctxFor(t, long)
	want, err := c.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := collect(c.Range(ctx, "")); err != nil || !same(got, want.Kvs) {
		t.Errorf("%d keys, %v; want %d", len(got), err, len(want.Kvs))
	}
}

// The KV that was put into the client is the one that is read from.
func TestRangeOfReplacedKV(t *testing.T) {
	c := shared(t)
	p := t.Name() + "/"
	fill(t, c, p+"k", 300, 10)
	c.KV = namespace.NewKV(c.KV, p)
	for _, prefix := range []string{"k", ""} {
		inOrder(t, c.Range(ctxFor(t, long), prefix), "k", 300, nil)
	}
}

// What is written meanwhile does not show, and a second loop sees it.
func TestRangeIsPinned(t *testing.T) {
	c := shared(t)
	paged := paging(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	p := t.Name() + "/"
	const n = 2000
	fill(t, c, p, n, 10)
	ctx := ctxFor(t, long)
	for i, c := range []*clientv3.Client{c, paged} {
		seq := c.Range(ctx, p)
		inOrder(t, seq, p, n+i, func(at int) {
			if at != 5 {
				return
			}
			if _, err := c.Put(ctx, fmt.Sprintf("%s%06d", p, n+i), ""); err != nil {
				t.Error(err)
			}
		})
		inOrder(t, seq, p, n+i+1, nil)
	}
}

func TestRangeMistakes(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := shared(t)
	ctx := ctxFor(t, long)
	over, cancel := context.WithCancel(ctx)
	cancel()
	var nilCtx context.Context
	for name, tc := range map[string]struct {
		seq  iter.Seq2[*mvccpb.KeyValue, error]
		code codes.Code
	}{
		"count": {c.Range(ctx, "k", clientv3.WithCountOnly()), codes.InvalidArgument},
		"descending": {
			c.Range(ctx, "k", clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)), codes.InvalidArgument,
		},
		"by value": {
			c.Range(ctx, "k", clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend)), codes.InvalidArgument,
		},
		"two ranges": {c.Range(ctx, "k", clientv3.WithPrefix(), clientv3.WithFromKey()), codes.InvalidArgument},
		"future":     {c.Range(ctx, "k", clientv3.WithRev(1<<50)), codes.OutOfRange},
		"over":       {c.Range(over, "k"), codes.Canceled},
		"no context": {c.Range(nilCtx, "k"), codes.InvalidArgument},
	} {
		n := 0
		for kv, err := range tc.seq {
			if n++; kv != nil || clientv3.Code(err) != tc.code {
				t.Errorf("%s: %v, %v", name, kv, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d errors", name, n)
		}
	}
}

func TestRangePermission(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	fill(t, root, "user/", 500, 10)
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	inOrder(t, c.Range(ctxFor(t, long), "user/"), "user/", 500, nil)
	for _, prefix := range []string{"other/", ""} {
		if _, err := collect(c.Range(ctxFor(t, long), prefix)); err != rpctypes.ErrPermissionDenied {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

// Leaving the loop releases its stream and goroutines at once.
func TestRangeLeft(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := shared(t)
	p := t.Name() + "/"
	fill(t, c, p, 3000, 1000)
	ctx := ctxFor(t, long)
	before := 0
	for i := range 100 {
		for _, err := range c.Range(ctx, p) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if i == 0 {
			before = runtime.NumGoroutine()
		}
	}
	await(t, "no goroutine is left behind", func() bool { return runtime.NumGoroutine() <= before })
}

// Servers that cannot stream are read page by page.
func TestRangeOldServer(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Version: "3.5"})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	fill(t, c, "k", 5000, 100)
	inOrder(t, c.Range(ctxFor(t, long), "k"), "k", 5000, nil)
}

// Values that are large for the client's limit arrive in small portions.
func TestRangeSmallLimit(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	fill(t, dial(t, clientv3.Config{Endpoints: cl.Endpoints()}), "k", 60, 200<<10)
	cfg := clientv3.Config{Endpoints: cl.Endpoints(), MaxCallRecvMsgSize: 500 << 10, MaxCallSendMsgSize: 400 << 10}
	for _, c := range []*clientv3.Client{dial(t, cfg), paging(t, cfg)} {
		inOrder(t, c.Range(ctxFor(t, long), "k"), "k", 60, nil)
	}
}
