package namespace_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/clientv3/ordering"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// ledger keeps the answers that pass through it, and copies of them.
type ledger struct {
	clientv3.KV
	clientv3.Watcher

	mu    sync.Mutex
	pages []page // guarded by mu
}

type page struct{ answer, was proto.Message }

func (l *ledger) note(m proto.Message) {
	if m == nil || !m.ProtoReflect().IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages = append(l.pages, page{m, proto.Clone(m)})
}

// unchanged checks that nobody has changed the answers, and that at least some have passed through.
func (l *ledger) unchanged(t *testing.T, least int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pages) < least {
		t.Errorf("only %d answers", len(l.pages))
	}
	for _, p := range l.pages {
		if !proto.Equal(p.answer, p.was) {
			t.Errorf("a wrapper changed\n%v into\n%v", p.was, p.answer)
		}
	}
}

func (l *ledger) Close() error { return l.Watcher.Close() }

func (l *ledger) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := l.KV.Get(ctx, key, opts...)
	l.note((*etcdserverpb.RangeResponse)(r))
	return r, err
}

func (l *ledger) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	r, err := l.KV.Put(ctx, key, val, opts...)
	l.note((*etcdserverpb.PutResponse)(r))
	return r, err
}

func (l *ledger) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	r, err := l.KV.Delete(ctx, key, opts...)
	l.note((*etcdserverpb.DeleteRangeResponse)(r))
	return r, err
}

func (l *ledger) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	r, err := l.KV.Do(ctx, op)
	l.note((*etcdserverpb.RangeResponse)(r.Get()))
	l.note((*etcdserverpb.PutResponse)(r.Put()))
	l.note((*etcdserverpb.DeleteRangeResponse)(r.Del()))
	l.note((*etcdserverpb.TxnResponse)(r.Txn()))
	return r, err
}

func (l *ledger) Txn(ctx context.Context) clientv3.Txn { return &ledgerTxn{l.KV.Txn(ctx), l} }

type ledgerTxn struct {
	clientv3.Txn
	l *ledger
}

func (t *ledgerTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t *ledgerTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(ops...); return t }
func (t *ledgerTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *ledgerTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.Txn.Commit()
	t.l.note((*etcdserverpb.TxnResponse)(r))
	return r, err
}

func (l *ledger) GetStream(ctx context.Context, key string, opts ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	in, err := l.KV.GetStream(ctx, key, opts...)
	if err != nil {
		return nil, err
	}
	out := make(chan clientv3.RangeStreamResponse)
	go func() {
		defer close(out)
		for r := range in {
			l.note(r.RangeResponse)
			select {
			case out <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (l *ledger) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	in := l.Watcher.Watch(ctx, key, opts...)
	out := make(chan clientv3.WatchResponse)
	go func() {
		defer close(out)
		for r := range in {
			for _, e := range r.Events {
				l.note(e)
			}
			select {
			case out <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// TestWrappersOverWrappers puts each wrapper over each other, over a client and over a cache. None
// changes the answers of the one below, and reading twice gives the same keys.
func TestWrappersOverWrappers(t *testing.T) {
	type both struct {
		kv clientv3.KV
		w  clientv3.Watcher
	}
	const space = "deep/"
	leases := 0
	wrap := map[string]func(t *testing.T, c *clientv3.Client, b both) both{
		"namespace": func(_ *testing.T, _ *clientv3.Client, b both) both {
			return both{namespace.NewKV(b.kv, space), namespace.NewWatcher(b.w, space)}
		},
		"ordering": func(_ *testing.T, _ *clientv3.Client, b both) both {
			return both{ordering.NewKV(b.kv, func(clientv3.Op, clientv3.OpResponse, int64) error { return nil }), b.w}
		},
		"batch": func(_ *testing.T, _ *clientv3.Client, b both) both {
			return both{batch.NewKV(b.kv, batch.WithWrites()), b.w}
		},
		"leasing": func(t *testing.T, c *clientv3.Client, b both) both {
			leases++ // each leasing KV has its own prefix, since none may write below another's
			l := clientv3.NewCtxClient(c.Ctx())
			l.KV, l.Watcher, l.Lease = b.kv, b.w, c.Lease
			kv, done, err := leasing.NewKV(l, fmt.Sprintf("leases%d/", leases))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(done)
			return both{kv, b.w}
		},
		"resuming": func(_ *testing.T, _ *clientv3.Client, b both) both {
			return both{b.kv, clientv3.NewResumingWatcher(b.w, b.kv)}
		},
	}
	for lower, below := range wrap {
		for upper, above := range wrap {
			for _, bottom := range []string{"client", "cache"} {
				t.Run(fmt.Sprintf("%s over %s over %s", upper, lower, bottom), func(t *testing.T) {
					c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
					ctx := clienttest.Within(t, clienttest.Long)
					if _, err := c.Delete(ctx, "", clientv3.WithPrefix()); err != nil {
						t.Fatal(err)
					}
					b := both{c.KV, c.Watcher}
					if bottom == "cache" {
						ca, err := cache.New(c, []string{""})
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { ca.Close() })
						if err := ca.WaitReady(ctx); err != nil {
							t.Fatal(err)
						}
						b = both{ca, ca}
					}
					low := &ledger{KV: b.kv, Watcher: b.w}
					b = below(t, c, both{low, low})
					middle := &ledger{KV: b.kv, Watcher: b.w}
					b = above(t, c, both{middle, middle})
					use(t, ctx, b.kv, b.w)
					low.unchanged(t, 8)
					middle.unchanged(t, 8)
					// want is the program's key at the lowest layer.
					want := "a"
					for _, name := range []string{lower, upper} {
						if name == "namespace" {
							want = space + want
						}
					}
					for range 2 {
						r, err := low.Get(ctx, want)
						if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Key) != want {
							t.Errorf("at the bottom: %v, %v", r, err)
						}
					}
				})
			}
		}
	}
}

// use makes calls of all kinds, and checks each returned key.
func use(t *testing.T, ctx context.Context, kv clientv3.KV, w clientv3.Watcher) {
	t.Helper()
	key := func(what string, got []byte, err error) {
		t.Helper()
		if err != nil || len(got) != 1 || !strings.Contains("abc", string(got)) {
			t.Errorf("%s: key %q, %v", what, got, err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := kv.Put(ctx, "a", "1")
	if err != nil {
		t.Fatal(err)
	}
	from := clientv3.WithRev(first.Header.Revision)
	one, two := w.Watch(
		ctx,
		"a",
		from,
		clientv3.WithPrevKV(),
	), w.Watch(
		ctx,
		"a",
		from,
		clientv3.WithRange("d"),
		clientv3.WithPrevKV(),
	)
	put, err := kv.Put(ctx, "a", "2", clientv3.WithPrevKV())
	if err != nil {
		t.Fatal(err)
	}
	key("put", put.PrevKv.GetKey(), err)
	if _, err := kv.Put(ctx, "b", "1"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, opts := range [][]clientv3.OpOption{
			nil, {clientv3.WithSerializable()}, {clientv3.WithRange("d")},
			{clientv3.WithRange("d"), clientv3.WithKeysOnly()},
		} {
			r, err := kv.Get(ctx, "a", opts...)
			for _, kv := range r.OpResponse().Get().Kvs {
				key("get", kv.Key, err)
			}
			do, err := kv.Do(ctx, clientv3.OpGet("a", opts...))
			for _, kv := range do.Get().Kvs {
				key("do", kv.Key, err)
			}
		}
		r, err := kv.Txn(ctx).
			Then(clientv3.OpGet("a"), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("b")}, nil)).
			Commit()
		if err != nil {
			t.Fatal(err)
		}
		key("txn", r.Responses[0].GetResponseRange().Kvs[0].Key, nil)
		key("nested txn", r.Responses[1].GetResponseTxn().Responses[0].GetResponseRange().Kvs[0].Key, nil)
	}
	if stream, err := kv.GetStream(ctx, "a", clientv3.WithRange("d")); err == nil {
		r, err := clientv3.GetStreamToGetResponse(stream)
		switch {
		case err == nil:
			for _, kv := range r.Kvs {
				key("stream", kv.Key, nil)
			}
		case clientv3.Code(err) != codes.Unimplemented: // the error of servers before 3.7
			t.Error(err)
		}
	}
	do, err := kv.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("b", "2", clientv3.WithPrevKV())}, nil))
	if err != nil {
		t.Fatal(err)
	}
	key("put in txn", do.Txn().Responses[0].GetResponsePut().PrevKv.GetKey(), nil)
	del, err := kv.Delete(ctx, "b", clientv3.WithPrevKV())
	if err != nil {
		t.Fatal(err)
	}
	key("delete", del.PrevKvs[0].Key, nil)
	for name, ch := range map[string]clientv3.WatchChan{"one": one, "two": two} {
		for events := 0; events < 2; {
			select {
			case r, ok := <-ch:
				if !ok || r.Err() != nil {
					t.Fatalf("watch %s ended: %v", name, r.Err())
				}
				for _, e := range r.Events {
					events++
					key("event", e.Kv.Key, nil)
					if e.PrevKv != nil {
						key("event's previous", e.PrevKv.Key, nil)
					}
				}
			case <-ctx.Done():
				t.Fatalf("watch %s: %v", name, ctx.Err())
			}
		}
	}
}
