package clientv3_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// numbered yields n keys below p in their order.
func numbered(p string, n int, value func(i int) string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("%s%06d", p, i), value(i)) {
				return
			}
		}
	}
}

func constant(v string) func(int) string { return func(int) string { return v } }

// stored is what is below p.
func stored(t testing.TB, c *clientv3.Client, p string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for kv, err := range c.Range(ctxFor(t, long), p) {
		if err != nil {
			t.Fatal(err)
		}
		all[string(kv.Key)] = string(kv.Value)
	}
	return all
}

func TestPutAll(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := shared(t)
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	for _, inFlight := range []int{1, 3} {
		var seen []clientv3.BulkResult
		res, err := c.PutAll(
			ctx,
			numbered(p, 1000, func(i int) string { return strings.Repeat("v", i) }),
			clientv3.WithBulkInFlight(
				inFlight,
			),
			clientv3.WithBulkProgress(func(r clientv3.BulkResult) { seen = append(seen, r) }),
		)
		if err != nil || res.Keys != 1000 || res.Last != p+"000999" || res.Chunks < 8 ||
			res.Bytes != 1000*int64(len(p)+6)+499500 {
			t.Fatalf("%+v, %v", res, err)
		}
		if len(seen) != int(res.Chunks) || seen[len(seen)-1] != res || seen[0].Last != p+"000127" {
			t.Errorf("progress: %+v", seen)
		}
		if all := stored(t, c, p); len(all) != 1000 || all[p+"000321"] != strings.Repeat("v", 321) {
			t.Errorf("%d keys", len(all))
		}
	}
	if res, err := c.PutAll(ctx, maps.All(map[string]string{})); err != nil || res != (clientv3.BulkResult{}) {
		t.Errorf("nothing: %+v, %v", res, err)
	}
}

// If a key comes several times its last value stays, also when chunks overtake each other.
func TestPutAllKeepsTheLastValueOfAKey(t *testing.T) {
	c := shared(t)
	p := t.Name() + "/"
	for range 10 {
		res, err := c.PutAll(ctxFor(t, long), func(yield func(string, string) bool) {
			for i := range 2000 {
				if !yield(fmt.Sprint(p, i%190), fmt.Sprint(i)) {
					return
				}
			}
		}, clientv3.WithBulkInFlight(8))
		if err != nil || res.Keys != 2000 {
			t.Fatalf("%+v, %v", res, err)
		}
		for k, v := range stored(t, c, p) {
			var n, i int
			if _, err := fmt.Sscan(strings.TrimPrefix(k, p)+" "+v, &n, &i); err != nil || i%190 != n || i < 1810 {
				t.Fatalf("%s has %s, %v", k, v, err)
			}
		}
	}
}

// Servers may take less than the defaults, and values may be large.
func TestBulkLimits(t *testing.T) {
	t.Parallel()
	for arg, large := range map[string]int{"--max-txn-ops=20": 1800 << 10, "--max-request-bytes=200000": 600 << 10} {
		cl := etcdtest.Start(t, etcdtest.Options{Args: []string{arg}})
		c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
		ctx := ctxFor(t, long)
		res, err := c.PutAll(ctx, numbered("k", 500, constant(strings.Repeat("x", 4000))))
		if err != nil || res.Keys != 500 || len(stored(t, c, "k")) != 500 {
			t.Errorf("%s: %+v, %v", arg, res, err)
		}
		res, err = c.CopyPrefix(ctx, "k", "copy/")
		if err != nil || res.Keys != 500 || len(stored(t, c, "copy/")) != 500 {
			t.Errorf("%s: copy: %+v, %v", arg, res, err)
		}
		_, err = c.PutAll(ctx, numbered("large", 1, constant(strings.Repeat("x", large))))
		if err != rpctypes.ErrRequestTooLarge {
			t.Errorf("%s: one that is too large: %v", arg, err)
		}
	}
}

// What was done before a failure is reported.
func TestPutAllFails(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	ctx := ctxFor(t, long)
	var given int
	res, err := c.PutAll(ctx, func(yield func(string, string) bool) {
		for key := range numbered("user/", 100000, constant("v")) {
			if given++; given == 501 {
				key = "other"
			}
			if !yield(key, "v") {
				return
			}
		}
	}, clientv3.WithBulkInFlight(2))
	if err != rpctypes.ErrPermissionDenied || res.Keys != 384 || res.Last != "user/000383" {
		t.Errorf("%+v, %v", res, err)
	}
	if given > 501+4*128 {
		t.Errorf("%d keys were taken", given)
	}
	over, cancel := context.WithCancel(ctx)
	_, err = c.PutAll(
		over,
		numbered("user/", 100000, constant("v")),
		clientv3.WithBulkProgress(func(clientv3.BulkResult) { cancel() }),
	)
	if err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDeleteAll(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := shared(t)
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	if _, err := c.PutAll(ctx, numbered(p, 3500, constant("v"))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, t.Name(), "beside"); err != nil {
		t.Fatal(err)
	}
	if res, err := c.DeleteAll(ctx, p, clientv3.WithBulkAfter(p+"003399")); err != nil || res.Keys != 100 {
		t.Fatalf("the last hundred: %+v, %v", res, err)
	}
	compacted := false
	res, err := c.DeleteAll(ctx, p, clientv3.WithBulkProgress(func(r clientv3.BulkResult) {
		if compacted {
			return
		}
		compacted = true
		got, err := c.Get(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compact(ctx, got.Header.Revision); err != nil {
			t.Fatal(err)
		}
	}))
	if err != nil || res.Keys != 3400 || res.Chunks < 4 || res.Last != p+"003399" {
		t.Fatalf("%+v, %v", res, err)
	}
	if all := stored(t, c, p); len(all) != 0 {
		t.Errorf("%d are left", len(all))
	}
	if all := stored(t, c, t.Name()); len(all) != 1 {
		t.Errorf("%d keys beside the prefix are left", len(all))
	}
	if res, err := c.DeleteAll(ctx, p); err != nil || res != (clientv3.BulkResult{}) {
		t.Errorf("nothing: %+v, %v", res, err)
	}
}

func TestCopyPrefix(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := shared(t)
	ctx := ctxFor(t, long)
	from, to := t.Name()+"/from/", t.Name()+"/to/"
	name := func(p string, i int) string { return fmt.Sprintf("%s%06d", p, i) }
	if _, err := c.PutAll(ctx, numbered(from, 1000, func(i int) string { return fmt.Sprint(i) })); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, name(to, 3), "there before"); err != nil {
		t.Fatal(err)
	}
	var conflicts []string
	note := clientv3.WithBulkConflict(func(from, to string) { conflicts = append(conflicts, from+" "+to) })
	res, err := c.CopyPrefix(ctx, from, to, clientv3.WithBulkOnlyAbsent(), note)
	if err != nil || res.Keys != 999 || res.Conflicts != 1 || res.Chunks != 8 || res.Last != name(from, 999) {
		t.Fatalf("%+v, %v", res, err)
	}
	if len(conflicts) != 1 || conflicts[0] != name(from, 3)+" "+name(to, 3) {
		t.Errorf("conflicts: %v", conflicts)
	}
	if res, err = c.CopyPrefix(ctx, from, to, clientv3.WithBulkOnlyAbsent()); err != nil || res.Equal != 999 ||
		res.Conflicts != 1 {
		t.Errorf("again: %+v, %v", res, err)
	}
	if res, err = c.CopyPrefix(ctx, from, to, clientv3.WithBulkAfter(name(from, 899))); err != nil || res.Keys != 100 {
		t.Errorf("the last hundred: %+v, %v", res, err)
	}
	if res, err = c.CopyPrefix(ctx, from, to); err != nil || res.Keys != 1000 {
		t.Errorf("over it: %+v, %v", res, err)
	}
	if all := stored(t, c, to); len(all) != 1000 || all[name(to, 3)] != "3" {
		t.Errorf("%d keys, %q", len(all), all[name(to, 3)])
	}

	// Keys that others change meanwhile are left as they are.
	conflicts = nil
	changed := false
	res, err = c.CopyPrefix(
		ctx,
		from,
		to,
		note,
		clientv3.WithBulkInFlight(1),
		clientv3.WithBulkProgress(func(clientv3.BulkResult) {
			if changed {
				return
			}
			changed = true
			for _, k := range []string{name(from, 990), name(to, 991)} {
				if _, err := c.Put(ctx, k, "new"); err != nil {
					t.Error(err)
				}
			}
			if _, err := c.Put(ctx, name(to, 992), "992"); err != nil { // the right value, from another client
				t.Error(err)
			}
			if _, err := c.Delete(ctx, name(from, 993)); err != nil {
				t.Error(err)
			}
			if _, err := c.Put(ctx, name(to, 993), "other"); err != nil {
				t.Error(err)
			}
		}),
	)
	// The destination of 990 has the value that was read already.
	if err != nil || res.Keys != 996 || res.Conflicts != 2 || res.Equal != 2 {
		t.Errorf("%+v, %v, %v", res, err, conflicts)
	}
	if all := stored(t, c, to); all[name(to, 991)] != "new" || all[name(to, 993)] != "other" {
		t.Errorf("%q, %q", all[name(to, 991)], all[name(to, 993)])
	}
}

func TestBulkMistakes(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	var nilCtx context.Context
	for name, err := range map[string]error{
		"put, no context":      second(c.PutAll(nilCtx, numbered("k", 1, constant("v")))),
		"delete, no context":   second(c.DeleteAll(nilCtx, "k")),
		"copy, no context":     second(c.CopyPrefix(nilCtx, "a", "b")),
		"copy into itself":     second(c.CopyPrefix(ctx, "a/", "a/b/")),
		"copy from itself":     second(c.CopyPrefix(ctx, "a/b/", "a/")),
		"copy all":             second(c.CopyPrefix(ctx, "", "a/")),
		"empty key":            second(c.PutAll(ctx, maps.All(map[string]string{"": "v"}))),
		"nothing in flight":    second(c.PutAll(ctx, numbered("k", 1, constant("v")), clientv3.WithBulkInFlight(0))),
		"put after a key":      second(c.PutAll(ctx, numbered("k", 1, constant("v")), clientv3.WithBulkAfter("k"))),
		"delete in parallel":   second(c.DeleteAll(ctx, "k", clientv3.WithBulkInFlight(2))),
		"delete what is after": second(c.DeleteAll(ctx, "k", clientv3.WithBulkAfter("l"))),
		"delete after others":  second(c.DeleteAll(ctx, "k", clientv3.WithBulkAfter("j9"))),
		"copy what is after":   second(c.CopyPrefix(ctx, "k", "l", clientv3.WithBulkAfter("l1"))),
		"a nil option":         second(c.DeleteAll(ctx, "k", nil)),
		"delete what is not":   second(c.DeleteAll(ctx, "k", clientv3.WithBulkOnlyAbsent())),
	} {
		if clientv3.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBulkAfterNothing: a run that did nothing has an empty Last.
func TestBulkAfterNothing(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	if _, err := c.PutAll(ctx, numbered(p+"a", 3, constant("v"))); err != nil {
		t.Fatal(err)
	}
	if res, err := c.CopyPrefix(ctx, p+"a", p+"b", clientv3.WithBulkAfter("")); err != nil || res.Keys != 3 {
		t.Errorf("copy: %+v, %v", res, err)
	}
	if res, err := c.DeleteAll(ctx, p, clientv3.WithBulkAfter("")); err != nil || res.Keys != 6 {
		t.Errorf("delete: %+v, %v", res, err)
	}
}

// The helpers go through the KV that was put into the client.
func TestBulkOfReplacedKV(t *testing.T) {
	c := shared(t)
	plain := c.KV
	p := t.Name() + "/"
	c.KV = namespace.NewKV(c.KV, p)
	ctx := ctxFor(t, long)
	if res, err := c.PutAll(ctx, numbered("a", 300, constant("v"))); err != nil || res.Keys != 300 {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := c.CopyPrefix(ctx, "a", "b"); err != nil || res.Keys != 300 {
		t.Errorf("%+v, %v", res, err)
	}
	if r, err := plain.Get(ctx, p, clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || r.Count != 600 {
		t.Errorf("%v, %v", r, err)
	}
	if res, err := c.DeleteAll(ctx, ""); err != nil || res.Keys != 600 {
		t.Errorf("%+v, %v", res, err)
	}
}
