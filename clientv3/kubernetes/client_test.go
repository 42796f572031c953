package kubernetes_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/kubernetes"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// store returns the interface on an empty server.
func store(t *testing.T) (kubernetes.Interface, context.Context) {
	t.Helper()
	c := dial(t, etcdtest.Shared(t).Endpoints())
	ctx := ctxFor(t, long)
	if _, err := c.Delete(ctx, "", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	return c.Kubernetes, ctx
}

// is checks the value of a key-value; "" stands for none.
func is(t *testing.T, what string, kv *mvccpb.KeyValue, want string) {
	t.Helper()
	if got := string(kv.GetValue()); (kv == nil) != (want == "") || got != want {
		t.Errorf("%s: %v, want %q", what, kv, want)
	}
}

func put(
	t *testing.T,
	k kubernetes.Interface,
	key, value string,
	rev int64,
	opts kubernetes.PutOptions,
) kubernetes.PutResponse {
	t.Helper()
	r, err := k.OptimisticPut(ctxFor(t, long), key, []byte(value), rev, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPut(t *testing.T) {
	k, ctx := store(t)
	created := put(t, k, "a", "1", 0, kubernetes.PutOptions{})
	if !created.Succeeded || created.KV != nil {
		t.Errorf("create: %+v", created)
	}
	read := kubernetes.PutOptions{GetOnFailure: true}
	r := put(t, k, "a", "2", 0, kubernetes.PutOptions{})
	if r.Succeeded || r.Revision != created.Revision {
		t.Errorf("create again: %+v", r)
	}
	is(t, "not asked for", r.KV, "")
	is(t, "asked for", put(t, k, "a", "2", 0, read).KV, "1")
	is(t, "asked for, but gone", put(t, k, "gone", "2", created.Revision, read).KV, "")
	updated := put(t, k, "a", "2", created.Revision, read)
	if !updated.Succeeded || updated.Revision != created.Revision+1 {
		t.Errorf("update: %+v", updated)
	}
	if r := put(t, k, "a", "3", created.Revision, read); r.Succeeded || r.KV.ModRevision != updated.Revision {
		t.Errorf("update of an old revision: %+v", r)
	}
	if r := put(t, k, "a", "3", -1, read); r.Succeeded {
		t.Errorf("update of a negative revision: %+v", r)
	}
	g, err := k.Get(ctx, "a", kubernetes.GetOptions{})
	if err != nil || g.KV.ModRevision != updated.Revision || g.Revision != updated.Revision {
		t.Errorf("%+v, %v", g, err)
	}
	for name, call := range map[error]func() error{
		rpctypes.ErrEmptyKey: func() error {
			_, err := k.OptimisticPut(ctx, "", nil, 0, kubernetes.PutOptions{})
			return err
		},
		rpctypes.ErrLeaseNotFound: func() error {
			_, err := k.OptimisticPut(ctx, "b", nil, 0, kubernetes.PutOptions{LeaseID: 12345})
			return err
		},
	} {
		if err := call(); err != name {
			t.Errorf("%v, want %v", err, name)
		}
	}
}

func TestPutWithLease(t *testing.T) {
	k, ctx := store(t)
	c := dial(t, etcdtest.Shared(t).Endpoints())
	l, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	put(t, k, "a", "1", 0, kubernetes.PutOptions{LeaseID: l.ID})
	if _, err := c.Revoke(ctx, l.ID); err != nil {
		t.Fatal(err)
	}
	g, err := k.Get(ctx, "a", kubernetes.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	is(t, "after the lease", g.KV, "")
}

func TestGet(t *testing.T) {
	k, ctx := store(t)
	first := put(t, k, "a", "1", 0, kubernetes.PutOptions{})
	second := put(t, k, "a", "2", first.Revision, kubernetes.PutOptions{})
	for _, test := range []struct {
		key  string
		rev  int64
		want string
		err  error
	}{
		{"a", 0, "2", nil},
		{"a", first.Revision, "1", nil},
		{"a", first.Revision - 1, "", nil},
		{"none", 0, "", nil},
		{"a", second.Revision + 1000, "", rpctypes.ErrFutureRev},
		{"", 0, "", rpctypes.ErrEmptyKey},
	} {
		g, err := k.Get(ctx, test.key, kubernetes.GetOptions{Revision: test.rev})
		if err != test.err || err == nil && g.Revision != second.Revision {
			t.Errorf("%q at %d: %+v, %v", test.key, test.rev, g, err)
		}
		is(t, fmt.Sprint(test), g.KV, test.want)
	}
	c := dial(t, etcdtest.Shared(t).Endpoints())
	if _, err := c.Compact(ctx, second.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(ctx, "a", kubernetes.GetOptions{Revision: first.Revision}); err != rpctypes.ErrCompacted {
		t.Errorf("compacted: %v", err)
	}
}

func TestListAndCount(t *testing.T) {
	k, ctx := store(t)
	last := int64(0)
	for _, key := range []string{"before", "p/a", "p/b", "p/c", "p0", "z"} {
		last = put(t, k, key, key, 0, kubernetes.PutOptions{}).Revision
	}
	for _, test := range []struct {
		prefix string
		opts   kubernetes.ListOptions
		want   string
		count  int64
	}{
		{"p/", kubernetes.ListOptions{}, "[p/a p/b p/c]", 3},
		{"p/", kubernetes.ListOptions{Limit: 2}, "[p/a p/b]", 3},
		{"p/", kubernetes.ListOptions{Limit: 2, Continue: "p/b\x00"}, "[p/c]", 1},
		{"p/", kubernetes.ListOptions{Continue: "p/c\x00"}, "[]", 0},
		{"p/", kubernetes.ListOptions{Continue: "before"}, "[p/a p/b p/c]", 3},
		{"p/", kubernetes.ListOptions{Continue: "z"}, "[]", 0},
		{"p/", kubernetes.ListOptions{Revision: last - 3}, "[p/a p/b]", 2},
		{"none", kubernetes.ListOptions{}, "[]", 0},
		{"", kubernetes.ListOptions{Limit: 1}, "[before]", 6},
		{"", kubernetes.ListOptions{Continue: "p0\x00"}, "[z]", 1},
		{"\xff", kubernetes.ListOptions{}, "[]", 0},
	} {
		r, err := k.List(ctx, test.prefix, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, kv := range r.Kvs {
			got = append(got, string(kv.Key))
		}
		if fmt.Sprint(got) != test.want || r.Count != test.count || r.Revision != last {
			t.Errorf("%q %+v: %q of %d at %d", test.prefix, test.opts, got, r.Count, r.Revision)
		}
	}
	for prefix, want := range map[string]int64{"p/": 3, "none": 0, "": 6, "\xff": 0} {
		if n, err := k.Count(ctx, prefix, kubernetes.CountOptions{}); n != want || err != nil {
			t.Errorf("count of %q: %d, %v", prefix, n, err)
		}
	}
	if _, err := k.List(ctx, "p/", kubernetes.ListOptions{Revision: last + 1000}); err != rpctypes.ErrFutureRev {
		t.Errorf("%v", err)
	}
}

func TestDelete(t *testing.T) {
	k, ctx := store(t)
	rev := put(t, k, "a", "1", 0, kubernetes.PutOptions{}).Revision
	read := kubernetes.DeleteOptions{GetOnFailure: true}
	for _, test := range []struct {
		key       string
		rev       int64
		opts      kubernetes.DeleteOptions
		succeeded bool
		kv        string
	}{
		{"a", rev - 1, kubernetes.DeleteOptions{}, false, ""},
		{"a", rev - 1, read, false, "1"},
		{"a", 0, read, false, "1"},
		{"none", rev, read, false, ""},
		{"none", 0, read, true, ""},
		{"a", rev, read, true, ""},
		{"a", rev, read, false, ""},
	} {
		r, err := k.OptimisticDelete(ctx, test.key, test.rev, test.opts)
		if err != nil || r.Succeeded != test.succeeded || r.Revision < rev {
			t.Errorf("%+v: %+v, %v", test, r, err)
		}
		is(t, fmt.Sprint(test), r.KV, test.kv)
	}
	if _, err := k.OptimisticDelete(ctx, "", 0, read); err != rpctypes.ErrEmptyKey {
		t.Errorf("%v", err)
	}
}

func TestCallsEndWithTheirContextsWhileFrozen(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	k := dial(t, cl.Endpoints()).Kubernetes
	put(t, k, "a", "1", 0, kubernetes.PutOptions{})
	if err := cl.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"get":   func(ctx context.Context) error { _, err := k.Get(ctx, "a", kubernetes.GetOptions{}); return err },
		"list":  func(ctx context.Context) error { _, err := k.List(ctx, "a", kubernetes.ListOptions{}); return err },
		"count": func(ctx context.Context) error { _, err := k.Count(ctx, "a", kubernetes.CountOptions{}); return err },
		"put": func(ctx context.Context) error {
			_, err := k.OptimisticPut(ctx, "a", nil, 0, kubernetes.PutOptions{})
			return err
		},
		"delete": func(ctx context.Context) error {
			_, err := k.OptimisticDelete(ctx, "a", 0, kubernetes.DeleteOptions{})
			return err
		},
	} {
		begin := time.Now()
		if err := call(ctxFor(t, 300*time.Millisecond)); err != context.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestNew(t *testing.T) {
	if c, err := kubernetes.New(clientv3.Config{}); c != nil || err != clientv3.ErrNoAvailableEndpoints {
		t.Errorf("%v, %v", c, err)
	}
}
