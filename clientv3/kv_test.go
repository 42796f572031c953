package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func keysOf(r *clientv3.GetResponse) []string {
	var keys []string
	for _, kv := range r.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

func TestPutGetDelete(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	if _, err := c.Put(ctx, p+"a", "1"); err != nil {
		t.Fatal(err)
	}
	put, err := c.Put(ctx, p+"a", "2", clientv3.WithPrevKV())
	if err != nil || string(put.PrevKv.Value) != "1" {
		t.Fatalf("%v, %v", put, err)
	}
	get, err := c.Get(ctx, p+"a")
	if err != nil || get.Count != 1 || string(get.Kvs[0].Value) != "2" || get.Kvs[0].Version != 2 {
		t.Fatalf("%v, %v", get, err)
	}
	old, err := c.Get(ctx, p+"a", clientv3.WithRev(get.Kvs[0].CreateRevision))
	if err != nil || string(old.Kvs[0].Value) != "1" {
		t.Fatalf("%v, %v", old, err)
	}
	del, err := c.Delete(ctx, p+"a", clientv3.WithPrevKV())
	if err != nil || del.Deleted != 1 || string(del.PrevKvs[0].Value) != "2" {
		t.Fatalf("%v, %v", del, err)
	}
	if get, err = c.Get(ctx, p+"a"); err != nil || len(get.Kvs) != 0 {
		t.Fatalf("%v, %v", get, err)
	}
}

func TestGetOptions(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	var revs []int64
	for _, kv := range []string{"a=3", "b=2", "c=1", "d=0"} {
		k, v, _ := strings.Cut(kv, "=")
		r, err := c.Put(ctx, p+k, v)
		if err != nil {
			t.Fatal(err)
		}
		revs = append(revs, r.Header.Revision)
	}
	if _, err := c.Put(ctx, p+"a", "9"); err != nil { // now a was modified last and has version 2
		t.Fatal(err)
	}
	get := func(key string, opts ...clientv3.OpOption) *clientv3.GetResponse {
		t.Helper()
		r, err := c.Get(ctx, key, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	all := clientv3.WithPrefix()
	for _, tc := range []struct {
		name string
		got  *clientv3.GetResponse
		want string
	}{
		{"prefix", get(p, all), "a b c d"},
		{"range", get(p+"b", clientv3.WithRange(p+"d")), "b c"},
		{"limit", get(p, all, clientv3.WithLimit(2)), "a b"},
		{"descending", get(p, all, clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)), "d c b a"},
		{"by value", get(p, all, clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend)), "d c b a"},
		{"by version", get(p, all, clientv3.WithSort(clientv3.SortByVersion, clientv3.SortDescend),
			clientv3.WithLimit(1)), "a"},
		{"by creation", get(p, all, clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend)), "d c b a"},
		{"by modification", get(p, all, clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend)), "b c d a"},
		{"ascending keys", get(p, all, clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend)), "a b c d"},
		{"serializable", get(p, all, clientv3.WithSerializable()), "a b c d"},
		{"at a revision", get(p, all, clientv3.WithRev(revs[1])), "a b"},
		{"min mod", get(p, all, clientv3.WithMinModRev(revs[2])), "a c d"},
		{"max mod", get(p, all, clientv3.WithMaxModRev(revs[2])), "b c"},
		{"min create", get(p, all, clientv3.WithMinCreateRev(revs[2])), "c d"},
		{"max create", get(p, all, clientv3.WithMaxCreateRev(revs[1])), "a b"},
		{"first key", get(p, clientv3.WithFirstKey()...), "a"},
		{"last key", get(p, clientv3.WithLastKey()...), "d"},
		{"first create", get(p, clientv3.WithFirstCreate()...), "a"},
		{"last create", get(p, clientv3.WithLastCreate()...), "d"},
		{"first rev", get(p, clientv3.WithFirstRev()...), "b"},
		{"last rev", get(p, clientv3.WithLastRev()...), "a"},
	} {
		var short []string
		for _, k := range keysOf(tc.got) {
			short = append(short, strings.TrimPrefix(k, p))
		}
		if got := strings.Join(short, " "); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	if r := get(p, all, clientv3.WithKeysOnly()); len(r.Kvs) != 4 || len(r.Kvs[0].Value) != 0 {
		t.Errorf("keys only: %v", r)
	}
	if r := get(p, all, clientv3.WithCountOnly()); r.Count != 4 || len(r.Kvs) != 0 {
		t.Errorf("count only: %v", r)
	}
	if r := get(p, all, clientv3.WithLimit(3)); !r.More || r.Count != 4 {
		t.Errorf("limit: More %v, Count %d", r.More, r.Count)
	}
	if keys := keysOf(get(p+"c", clientv3.WithFromKey())); !slices.Contains(keys, p+"d") ||
		slices.Contains(keys, p+"b") {
		t.Errorf("from key: %v", keys)
	}
}

func TestPutKeepsValueOrLease(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	key := t.Name()
	l, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		val   string
		opts  []clientv3.OpOption
		value string
		lease clientv3.LeaseID
	}{
		{"v", []clientv3.OpOption{clientv3.WithLease(l.ID)}, "v", l.ID},
		{"w", []clientv3.OpOption{clientv3.WithIgnoreLease()}, "w", l.ID},
		{"", []clientv3.OpOption{clientv3.WithIgnoreValue()}, "w", 0},
	} {
		if _, err := c.Put(ctx, key, step.val, step.opts...); err != nil {
			t.Fatal(err)
		}
		r, err := c.Get(ctx, key)
		if err != nil || string(r.Kvs[0].Value) != step.value || r.Kvs[0].Lease != int64(step.lease) {
			t.Fatalf("%v, %v; want %q with lease %x", r, err, step.value, step.lease)
		}
	}
	if _, err := c.Put(ctx, key, "v", clientv3.WithIgnoreValue()); err != rpctypes.ErrValueProvided {
		t.Errorf("a value with WithIgnoreValue: %v", err)
	}
	if _, err := c.Put(ctx, key+"/none", "", clientv3.WithIgnoreValue()); err != rpctypes.ErrKeyNotFound {
		t.Errorf("WithIgnoreValue on a missing key: %v", err)
	}
}

func TestTxn(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	k := t.Name()
	put, err := c.Put(ctx, k, "m")
	if err != nil {
		t.Fatal(err)
	}
	rev := put.Header.Revision
	holds := func(cmps ...clientv3.Cmp) bool {
		t.Helper()
		r, err := c.Txn(ctx).If(cmps...).Commit()
		if err != nil {
			t.Fatal(err)
		}
		return r.Succeeded
	}
	for _, tc := range []struct {
		cmp  clientv3.Cmp
		want bool
	}{
		{clientv3.Compare(clientv3.Value(k), "=", "m"), true},
		{clientv3.Compare(clientv3.Value(k), "!=", "m"), false},
		{clientv3.Compare(clientv3.Value(k), ">", "l"), true},
		{clientv3.Compare(clientv3.Value(k), "<", "l"), false},
		{clientv3.Compare(clientv3.Version(k), "=", 1), true},
		{clientv3.Compare(clientv3.CreateRevision(k), "=", rev), true},
		{clientv3.Compare(clientv3.CreateRevision(k), "<", rev), false},
		{clientv3.Compare(clientv3.ModRevision(k), "=", rev), true},
		{clientv3.Compare(clientv3.LeaseValue(k), "=", clientv3.NoLease), true},
		{clientv3.Compare(clientv3.LeaseValue(k), "!=", 0), false},
		{clientv3.Compare(clientv3.CreateRevision(k+"/none"), "=", 0), true},
		{clientv3.Compare(clientv3.Value(k), "=", "m").WithPrefix(), true},
		{clientv3.Compare(clientv3.Version(k), ">", 1).WithRange(k + "x"), false},
	} {
		if got := holds(tc.cmp); got != tc.want {
			t.Errorf("%v holds: %v", tc.cmp.GetCompare(), got)
		}
	}
	inner := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Version(k), "=", 99)},
		[]clientv3.Op{clientv3.OpPut(k, "wrong")},
		[]clientv3.Op{
			clientv3.OpPut(k+"/1", "x"),
			clientv3.OpGet(k + "/1"),
			clientv3.OpDelete(k+"/2", clientv3.WithPrevKV()),
		},
	)
	r, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Value(k), "=", "m")).
		Then(clientv3.OpPut(k+"/2", "y"), clientv3.OpGet(k)).
		Else(clientv3.OpPut(k, "wrong")).Commit()
	if err != nil || !r.Succeeded || string(r.Responses[1].GetResponseRange().Kvs[0].Value) != "m" {
		t.Fatalf("%v, %v", r, err)
	}
	if r, err = c.Txn(ctx).Then(inner).Commit(); err != nil {
		t.Fatal(err)
	}
	n := r.Responses[0].GetResponseTxn()
	if n.Succeeded || string(n.Responses[1].GetResponseRange().Kvs[0].Value) != "x" ||
		n.Responses[2].GetResponseDeleteRange().Deleted != 1 {
		t.Fatalf("nested: %v", n)
	}
	_, err = c.Txn(ctx).Then(clientv3.OpPut(k, "1"), clientv3.OpPut(k, "2")).Commit()
	if err != rpctypes.ErrDuplicateKey {
		t.Errorf("one key twice: %v", err)
	}
}

func TestDo(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	k := t.Name()
	for _, op := range []clientv3.Op{
		clientv3.OpPut(k, "v"), clientv3.OpGet(k), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet(k)}, nil),
		clientv3.OpDelete(k),
	} {
		r, err := c.Do(ctx, op)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case op.IsPut() && r.Put() == nil, op.IsDelete() && r.Del().Deleted != 1:
			t.Errorf("%+v", r)
		case op.IsGet() && string(r.Get().Kvs[0].Value) != "v":
			t.Errorf("%+v", r.Get())
		case op.IsTxn() && r.Txn().Responses[0].GetResponseRange().Count != 1:
			t.Errorf("%+v", r.Txn())
		}
	}
}

func TestGetStream(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	if !serverAtLeast(t, "3.7") {
		ch, err := c.GetStream(ctx, p)
		if err == nil {
			_, err = clientv3.GetStreamToGetResponse(ch)
		}
		if clientv3.Code(err) != codes.Unimplemented {
			t.Errorf("from a server that cannot stream: %v", err)
		}
		return
	}
	const n = 2500
	var ops []clientv3.Op
	for i := range n {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%05d", p, i), strings.Repeat("x", 100)))
		if len(ops) == 100 {
			if _, err := c.Txn(ctx).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops = ops[:0]
		}
	}
	for _, opts := range [][]clientv3.OpOption{
		{clientv3.WithPrefix()},
		{clientv3.WithPrefix(), clientv3.WithLimit(1700)},
		{clientv3.WithPrefix(), clientv3.WithKeysOnly()},
	} {
		want, err := c.Get(ctx, p, opts...)
		if err != nil {
			t.Fatal(err)
		}
		ch, err := c.GetStream(ctx, p, opts...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := clientv3.GetStreamToGetResponse(ch)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(keysOf(got), keysOf(want)) || got.Count != want.Count || got.More != want.More ||
			got.Header.Revision != want.Header.Revision {
			t.Errorf(
				"%d keys, count %d, more %v; want %d, %d, %v",
				len(got.Kvs),
				got.Count,
				got.More,
				len(want.Kvs),
				want.Count,
				want.More,
			)
		}
	}
	abandon, cancel := context.WithCancel(ctx)
	ch, err := c.GetStream(abandon, p, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	cancel()
	for range ch { // closes although nobody reads to the natural end
	}
}

func TestCompact(t *testing.T) {
	t.Parallel()
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Start(t, etcdtest.Options{}).Endpoints()})
	ctx := ctxFor(t, long)
	var rev int64
	for range 5 {
		r, err := c.Put(ctx, "k", "v")
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.Revision
	}
	if _, err := c.Compact(ctx, rev, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "k", clientv3.WithRev(rev-1)); err != rpctypes.ErrCompacted {
		t.Errorf("reading a compacted revision: %v", err)
	}
	if _, err := c.Get(ctx, "k", clientv3.WithRev(rev+100)); err != rpctypes.ErrFutureRev {
		t.Errorf("reading a future revision: %v", err)
	}
	if _, err := c.Compact(ctx, rev); err != rpctypes.ErrCompacted {
		t.Errorf("compacting again: %v", err)
	}
}

func TestBadOperations(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	one := []clientv3.Op{clientv3.OpGet("k")}
	var nilCtx context.Context
	for name, call := range map[string]func() error{
		"get, prefix and from key": func() error {
			_, err := c.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithFromKey())
			return err
		},
		"put with range":           func() error { _, err := c.Put(ctx, "k", "v", clientv3.WithPrefix()); return err },
		"put with rev":             func() error { _, err := c.Put(ctx, "k", "v", clientv3.WithRev(3)); return err },
		"put with negative rev":    func() error { _, err := c.Put(ctx, "k", "v", clientv3.WithRev(-1)); return err },
		"delete with negative rev": func() error { _, err := c.Delete(ctx, "k", clientv3.WithRev(-1)); return err },
		"put with limit":           func() error { _, err := c.Put(ctx, "k", "v", clientv3.WithLimit(3)); return err },
		"delete with lease":        func() error { _, err := c.Delete(ctx, "k", clientv3.WithLease(3)); return err },
		"delete with sort": func() error {
			_, err := c.Delete(ctx, "k", clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
			return err
		},
		"delete serializable":   func() error { _, err := c.Delete(ctx, "k", clientv3.WithSerializable()); return err },
		"put filtered":          func() error { _, err := c.Put(ctx, "k", "v", clientv3.WithFilterPut()); return err },
		"empty operation":       func() error { _, err := c.Do(ctx, clientv3.Op{}); return err },
		"watch as an operation": func() error { _, err := c.Do(ctx, clientv3.OpWatch("k")); return err },
		"bad operation in a txn": func() error {
			_, err := c.Txn(ctx).Then(clientv3.OpPut("k", "v", clientv3.WithLimit(1))).Commit()
			return err
		},
		"bad operation nested": func() error {
			_, err := c.Txn(ctx).Then(clientv3.OpTxn(nil, []clientv3.Op{{}}, nil)).Commit()
			return err
		},
		"unknown comparison": func() error {
			_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Value("k"), "~", "v")).Commit()
			return err
		},
		"value with a number": func() error {
			_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Value("k"), "=", 1)).Commit()
			return err
		},
		"version with a string": func() error {
			_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Version("k"), "=", "1")).Commit()
			return err
		},
		"empty comparison": func() error { _, err := c.Txn(ctx).If(clientv3.Cmp{}).Commit(); return err },
		"comparison of nothing": func() error {
			_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Cmp{}, "=", 1)).Commit()
			return err
		},
		"If twice": func() error { _, err := c.Txn(ctx).If().If().Commit(); return err },
		"Then twice": func() error {
			_, err := c.Txn(ctx).Then(one...).Then(one...).Commit()
			return err
		},
		"Else twice": func() error {
			_, err := c.Txn(ctx).Else(one...).Else(one...).Commit()
			return err
		},
		"If after Then": func() error { _, err := c.Txn(ctx).Then(one...).If().Commit(); return err },
		"Then after Else": func() error {
			_, err := c.Txn(ctx).Else(one...).Then(one...).Commit()
			return err
		},
		"nil context, get":        func() error { _, err := c.Get(nilCtx, "k"); return err },
		"nil context, txn":        func() error { _, err := c.Txn(nilCtx).Commit(); return err },
		"nil context, compact":    func() error { _, err := c.Compact(nilCtx, 1); return err },
		"nil context, stream":     func() error { _, err := c.GetStream(nilCtx, "k"); return err },
		"nil context, members":    func() error { _, err := c.MemberList(nilCtx); return err },
		"nil context, grant":      func() error { _, err := c.Grant(nilCtx, 5); return err },
		"nil context, keep alive": func() error { _, err := c.KeepAlive(nilCtx, 5); return err },
		"nil context, alarm":      func() error { _, err := c.AlarmDisarm(nilCtx, nil); return err },
		"nil context, status":     func() error { _, err := c.Status(nilCtx, c.Endpoints()[0]); return err },
		"nil context, snapshot":   func() error { _, err := c.Snapshot(nilCtx); return err },
		"nil context, progress":   func() error { return c.RequestProgress(nilCtx) },
		"nil context, generated": func() error {
			_, err := clientv3.RetryKVClient(c).Range(nilCtx, &pb.RangeRequest{})
			return err
		},
		"unknown downgrade action": func() error { _, err := c.Downgrade(ctx, 99, "3.6.0"); return err },
		"member without URL":       func() error { _, err := c.MemberAdd(ctx, nil); return err },
		"member with a bad URL":    func() error { _, err := c.MemberAdd(ctx, []string{"localhost"}); return err },
		"update with a bad URL": func() error {
			_, err := c.MemberUpdate(ctx, 1, []string{"ftp://a:1"})
			return err
		},
		"status of a bad endpoint": func() error { _, err := c.Status(ctx, "nonsense"); return err },
		"unknown permission":       func() error { _, err := clientv3.StrToPermissionType("everything"); return err },
		"nil configuration":        func() error { _, err := clientv3.NewClientConfig(nil, nil); return err },
	} {
		err := call()
		if clientv3.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
		if !clientv3.SafeToRetry(err) || clientv3.OutcomeUnknown(err) {
			t.Errorf("%s: nothing was sent, but the outcome counts as unknown", name)
		}
	}
	for name, err := range map[string]error{
		"put":    second(c.Put(ctx, "", "")),
		"get":    second(c.Get(ctx, "")),
		"delete": second(c.Delete(ctx, "")),
		"txn":    second(c.Txn(ctx).Then(clientv3.OpPut("", "v")).Commit()),
	} {
		if err != rpctypes.ErrEmptyKey || !errors.Is(err, rpctypes.ErrEmptyKey) {
			t.Errorf("empty key, %s: %v", name, err)
		}
	}
	if _, err := c.Get(ctx, "k", clientv3.WithPrefix(),
		clientv3.WithSort(77, 99)); err != rpctypes.ErrInvalidSortOption {
		t.Errorf("sort option that does not exist: %v", err)
	}
	if _, err := c.Grant(ctx, clientv3.MaxLeaseTTL+1); err != rpctypes.ErrLeaseTTLTooLarge {
		t.Errorf("too long a time to live: %v", err)
	}
	if _, err := c.Put(ctx, "k", strings.Repeat("x", 1700<<10)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("above the server's limit: %v", err)
	}
	_, err := c.Put(ctx, "k", strings.Repeat("x", 3<<20))
	if clientv3.Code(err) != codes.ResourceExhausted || !clientv3.SafeToRetry(err) ||
		!strings.Contains(err.Error(), "limit") {
		t.Errorf("above the client's limit: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
