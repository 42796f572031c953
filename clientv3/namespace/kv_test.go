package namespace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// prefixes are the tests' prefixes. before and after are keys next to the range of each, which must
// never be read or written. The last prefixes overflow the key range.
var prefixes = []struct{ prefix, before, after string }{
	{"ns/", "ns.", "ns0"},
	{"n\xff", "n\xfe\xff", "o"},
	{"\x00", "", "\x01"},
	{"\xff", "\xfe\xff", ""},
	{"\xff\xff", "\xff\xfe\xff", ""},
}

func keys(kvs []*mvccpb.KeyValue) (list []string) {
	for _, kv := range kvs {
		list = append(list, string(kv.Key))
	}
	return list
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// each runs a test under each prefix, on a cluster with only the neighbouring keys and the key that
// is the prefix itself. Afterwards it checks that those keys still exist.
func each(t *testing.T, f func(t *testing.T, ctx context.Context, c *clientv3.Client, prefix string)) {
	for _, p := range prefixes {
		t.Run(fmt.Sprintf("%q", p.prefix), func(t *testing.T) {
			c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
			ctx := clienttest.Within(t, clienttest.Long)
			if _, err := c.Delete(ctx, "", clientv3.WithPrefix()); err != nil {
				t.Fatal(err)
			}
			var around []string
			for _, k := range []string{p.before, p.prefix, p.after} {
				if k == "" {
					continue
				}
				around = append(around, k)
				if _, err := c.Put(ctx, k, "around"); err != nil {
					t.Fatal(err)
				}
			}
			f(t, ctx, c, p.prefix)
			for _, k := range around {
				r, err := c.Get(ctx, k)
				if err != nil || len(r.Kvs) != 1 || r.Kvs[0].Version != 1 {
					t.Errorf("key %q around the prefix was touched: %v, %v", k, r, err)
				}
			}
		})
	}
}

func TestKV(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, c *clientv3.Client, prefix string) {
		kv := namespace.NewKV(c.KV, prefix)
		for _, k := range []string{"a", "a/b", "b", "\xff", "\x00"} {
			if _, err := kv.Put(ctx, k, "1"); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := c.Get(ctx, prefix+"a"); err != nil || len(r.Kvs) != 1 {
			t.Errorf("the key has no prefix: %v, %v", r, err)
		}
		get := func(key string, opts ...clientv3.OpOption) []string {
			t.Helper()
			r, err := kv.Get(ctx, key, opts...)
			if err != nil {
				t.Fatal(err)
			}
			stream, err := kv.GetStream(ctx, key, opts...)
			if err != nil {
				t.Fatal(err)
			}
			all, err := clientv3.GetStreamToGetResponse(stream)
			if clientv3.Code(err) == codes.Unimplemented {
				return keys(r.Kvs) // sorted, or by a server before 3.7
			}
			if err != nil {
				t.Fatal(err)
			}
			want(t, "stream", keys(all.Kvs), keys(r.Kvs)...)
			return keys(r.Kvs)
		}
		want(t, "one", get("a"), "a")
		want(t, "prefix", get("a", clientv3.WithPrefix()), "a", "a/b")
		want(t, "all by prefix", get("", clientv3.WithPrefix()), "\x00", "a", "a/b", "b", "\xff")
		want(t, "from", get("a/b", clientv3.WithFromKey()), "a/b", "b", "\xff")
		want(t, "all from key", get("", clientv3.WithFromKey()), "\x00", "a", "a/b", "b", "\xff")
		want(t, "range", get("a", clientv3.WithRange("b")), "a", "a/b")
		want(t, "range to the end", get("b", clientv3.WithRange("\x00")), "b", "\xff")
		want(t, "prefix of 0xff", get("\xff", clientv3.WithPrefix()), "\xff")
		want(t, "empty range", get("b", clientv3.WithRange("a")))
		want(
			t,
			"sorted",
			get(
				"",
				clientv3.WithPrefix(),
				clientv3.WithLimit(1),
				clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend),
			),
			"\xff",
		)

		put, err := kv.Put(ctx, "a", "2", clientv3.WithPrevKV())
		if err != nil || string(put.PrevKv.Key) != "a" || string(put.PrevKv.Value) != "1" {
			t.Errorf("put with the previous value: %v, %v", put, err)
		}
		del, err := kv.Delete(ctx, "a", clientv3.WithPrefix(), clientv3.WithPrevKV())
		if err != nil {
			t.Fatal(err)
		}
		want(t, "deleted", keys(del.PrevKvs), "a", "a/b")
		do, err := kv.Do(ctx, clientv3.OpDelete("b", clientv3.WithFromKey(), clientv3.WithPrevKV()))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "deleted from key", keys(do.Del().PrevKvs), "b", "\xff")
		want(t, "rest", get("", clientv3.WithPrefix()), "\x00")
	})
}

func TestTxn(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, c *clientv3.Client, prefix string) {
		kv := namespace.NewKV(c.KV, prefix)
		for _, k := range []string{"a", "b"} {
			if _, err := kv.Put(ctx, k, "1"); err != nil {
				t.Fatal(err)
			}
		}
		cmp := clientv3.Compare(clientv3.Value("a"), "=", "1")
		all := clientv3.Compare(clientv3.CreateRevision("\x00").WithRange("\x00"), ">", 0)
		nested := clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.Value("a").WithPrefix(), "=", "1")},
			[]clientv3.Op{
				clientv3.OpDelete("a", clientv3.WithPrevKV()),
				clientv3.OpGet("", clientv3.WithPrefix()),
			},
			nil,
		)
		r, err := kv.Txn(ctx).If(cmp, all).
			Then(clientv3.OpGet("", clientv3.WithPrefix()), clientv3.OpPut("b", "2", clientv3.WithPrevKV()), nested).
			Else(clientv3.OpPut("else", "")).Commit()
		if err != nil || !r.Succeeded {
			t.Fatalf("%v, %v", r, err)
		}
		want(t, "get", keys(r.Responses[0].GetResponseRange().Kvs), "a", "b")
		want(t, "put", []string{string(r.Responses[1].GetResponsePut().PrevKv.Key)}, "b")
		inner := r.Responses[2].GetResponseTxn()
		if !inner.Succeeded {
			t.Fatal("the nested comparison does not hold")
		}
		want(t, "nested delete", keys(inner.Responses[0].GetResponseDeleteRange().PrevKvs), "a")
		want(t, "nested get", keys(inner.Responses[1].GetResponseRange().Kvs), "b")
		if string(cmp.KeyBytes()) != "a" {
			t.Errorf("the caller's comparison is now of %q", cmp.KeyBytes())
		}
		// The same as one Op.
		do, err := kv.Do(ctx, clientv3.OpTxn([]clientv3.Cmp{cmp}, nil, []clientv3.Op{clientv3.OpGet("b")}))
		if err != nil || do.Txn().Succeeded {
			t.Fatalf("%v, %v", do.Txn(), err)
		}
		want(t, "else", keys(do.Txn().Responses[0].GetResponseRange().Kvs), "b")
	})
}

// TestEmptyKeysAreRefused: empty keys are refused, as by etcd. With the prefix before it, the
// server would accept one.
func TestEmptyKeysAreRefused(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, c *clientv3.Client, prefix string) {
		kv := namespace.NewKV(c.KV, prefix)
		for name, call := range map[string]func() error{
			"put":    func() error { _, err := kv.Put(ctx, "", "x"); return err },
			"get":    func() error { _, err := kv.Get(ctx, ""); return err },
			"range":  func() error { _, err := kv.Get(ctx, "", clientv3.WithRange("b")); return err },
			"delete": func() error { _, err := kv.Delete(ctx, ""); return err },
			"stream": func() error { _, err := kv.GetStream(ctx, ""); return err },
			"do":     func() error { _, err := kv.Do(ctx, clientv3.OpPut("", "x")); return err },
		} {
			if err := call(); err != rpctypes.ErrEmptyKey {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestEmptyKeyOfTransactionsIsThePrefix: comparisons and operations with the empty key are executed
// on the key that is the prefix itself, and ranges may begin with it.
func TestEmptyKeyOfTransactionsIsThePrefix(t *testing.T) {
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	ctx := clienttest.Within(t, clienttest.Long)
	const prefix = "itself/"
	kv := namespace.NewKV(c.KV, prefix)
	now, err := c.Get(ctx, prefix)
	if err != nil {
		t.Fatal(err)
	}
	watch := namespace.NewWatcher(c.Watcher, prefix).Watch(ctx, "", clientv3.WithRev(now.Header.Revision+1))
	do := func(cmp clientv3.Cmp, ops ...clientv3.Op) *clientv3.TxnResponse {
		t.Helper()
		r, err := kv.Txn(ctx).If(cmp).Then(ops...).Commit()
		if err != nil {
			t.Fatal(err)
		}
		one, err := kv.Do(ctx, clientv3.OpTxn([]clientv3.Cmp{cmp}, nil, nil))
		if err != nil || len(ops) == 0 && one.Txn().Succeeded != r.Succeeded {
			t.Errorf("as one Op: %v, %v", one.Txn(), err)
		}
		return r
	}
	absent := clientv3.Compare(clientv3.Version(""), "=", 0)
	if !do(absent.WithPrefix()).Succeeded || !do(absent, clientv3.OpPut("", "x"), clientv3.OpPut("b", "y")).Succeeded {
		t.Fatal("there is a key already")
	}
	if r, err := c.Get(ctx, prefix); err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "x" {
		t.Fatalf("the key that is the prefix: %v, %v", r, err)
	}
	x, y := clientv3.Compare(clientv3.Value(""), "=", "x"), clientv3.Compare(clientv3.Value(""), "!=", "y")
	for _, c := range []struct {
		name  string
		cmp   clientv3.Cmp
		holds bool
	}{
		{"key", x, true}, {"other value", clientv3.Compare(clientv3.Value(""), "=", "y"), false},
		{"all keys", x.WithPrefix(), false},
		{"all keys exist", clientv3.Compare(clientv3.Version(""), ">", 0).WithPrefix(), true},
		{"up to b", y.WithRange("b"), true}, {"up to c", y.WithRange("c"), false},
	} {
		if got := do(c.cmp).Succeeded; got != c.holds {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	r := do(x, clientv3.OpGet(""), clientv3.OpGet("", clientv3.WithRange("b")),
		clientv3.OpTxn([]clientv3.Cmp{x}, []clientv3.Op{clientv3.OpDelete("", clientv3.WithPrevKV())}, nil))
	want(t, "get", keys(r.Responses[0].GetResponseRange().GetKvs()), "")
	want(t, "range", keys(r.Responses[1].GetResponseRange().GetKvs()), "")
	want(t, "delete", keys(r.Responses[2].GetResponseTxn().Responses[0].GetResponseDeleteRange().GetPrevKvs()), "")
	want(t, "watched", read(t, watch, 2), "PUT  x", "DELETE  ")
	do(clientv3.Compare(clientv3.Version("b"), "=", 1), clientv3.OpDelete("b"))
}

func TestMistakes(t *testing.T) {
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	kv := namespace.NewKV(c.KV, "ns/")
	ctx := clienttest.Within(t, clienttest.Long)
	if _, err := kv.Put(ctx, "a", "b", clientv3.WithPrefix()); err == nil {
		t.Error("a put with a range was accepted")
	}
	if _, err := kv.Do(ctx, clientv3.OpWatch("a")); err == nil {
		t.Error("a watch was accepted by Do")
	}
	if _, err := kv.Do(ctx, clientv3.Op{}); err == nil {
		t.Error("an empty operation was accepted")
	}
	if _, err := kv.Txn(ctx).Then().If().Commit(); err == nil {
		t.Error("If after Then was accepted")
	}
	var none context.Context
	if _, err := kv.Get(none, "a"); err == nil {
		t.Error("a nil context was accepted")
	}
	if namespace.NewKV(c.KV, "") != c.KV || namespace.NewLease(c.Lease, "") != c.Lease ||
		namespace.NewWatcher(c.Watcher, "") != c.Watcher {
		t.Error("an empty prefix is not the thing itself")
	}
}

// TestStreamIsLeft: nothing is left running when a consumer stops reading.
func TestStreamIsLeft(t *testing.T) {
	server := etcdtest.Shared(t)
	etcdtest.CheckLeaks(t)
	c := clienttest.Dial(t, server.Endpoints()...)
	kv := namespace.NewKV(c.KV, "left/")
	ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
	for i := range 50 {
		if _, err := kv.Put(ctx, fmt.Sprint(i), string(make([]byte, 100<<10))); err != nil {
			t.Fatal(err)
		}
	}
	ch, err := kv.GetStream(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	cancel()
}

func TestCallsEndWithTheirContextsWhileFrozen(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cl.Endpoints()...)
	kv := namespace.NewKV(c.KV, "ns/")
	w := namespace.NewWatcher(c.Watcher, "ns/")
	l := namespace.NewLease(c.Lease, "ns/")
	if _, err := kv.Put(clienttest.Within(t, clienttest.Long), "a", "b"); err != nil {
		t.Fatal(err)
	}
	if err := cl.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"get": func(ctx context.Context) error { _, err := kv.Get(ctx, "a"); return err },
		"txn": func(ctx context.Context) error {
			_, err := kv.Txn(ctx).Then(clientv3.OpPut("a", "")).Commit()
			return err
		},
		"lease": func(ctx context.Context) error { _, err := l.TimeToLive(ctx, 1); return err },
		"stream": func(ctx context.Context) error {
			ch, err := kv.GetStream(ctx, "a")
			if err == nil {
				_, err = clientv3.GetStreamToGetResponse(ch)
			}
			return err
		},
		"watch": func(ctx context.Context) error {
			for range w.Watch(ctx, "a") {
			}
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := clienttest.Within(t, 300*time.Millisecond)
			start := time.Now()
			if err := call(ctx); err == nil {
				t.Error("it succeeded")
			} else if name != "stream" && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
