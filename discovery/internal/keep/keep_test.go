package keep

import (
	"context"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestOnlyTheKeepersOwnStraysAreDeleted: keys appear under the lease of the kept ones. Only those
// are deleted that an unanswered put of the Keeper made. The others belong to users.
func TestOnlyTheKeepersOwnStraysAreDeleted(t *testing.T) {
	ctx := clienttest.Within(t, 30*time.Second)
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	k := New(c, 60, 1000)
	t.Cleanup(func() { clienttest.OK(t, "Close", k.Close()) })
	spec := func(key, value string) Spec {
		return Spec{
			Key: t.Name() + key, Value: []byte(value),
			Judge: func(Found) Verdict { return Verdict{} }, Notify: func(Kind, error) {},
		}
	}
	keep := func(key string) *Kept {
		h, err := k.Keep(ctx, spec(key, "1"))
		clienttest.OK(t, "Keep", err)
		return h
	}
	keep("/a")
	keep("/z")

	// A put of /given-up was not answered before its owner gave it up.
	given := keep("/given-up")
	k.mu.Lock()
	e := given.e
	e.next(int64(k.lease))
	q := request{do: put, turn: e.turn, lease: int64(k.lease), value: []byte("late")}
	k.mu.Unlock()
	k.result(e, q, failed(context.DeadlineExceeded))
	k.mu.Lock()
	k.enqueue(e, e.rest(q, 0) || e.touch())
	k.mu.Unlock()
	clienttest.OK(t, "Close", given.Close(ctx))

	user := func(key, value string) {
		_, err := c.Put(ctx, t.Name()+key, value, clientv3.WithLease(k.Lease()))
		clienttest.OK(t, "Put", err)
	}
	has := func(key string) bool {
		r, err := c.Get(ctx, t.Name()+key)
		clienttest.OK(t, "Get", err)
		return len(r.Kvs) > 0
	}
	user("/other", "late")
	user("/user", "1")
	user("/given-up", "late") // the watch shows it after the others
	clienttest.Await(t, "the end of the stray", func() bool { return !has("/given-up") })
	for _, key := range []string{"/other", "/user"} {
		if !has(key) {
			t.Errorf("%s has gone", key)
		}
	}
}

// TestCloseSucceedsWithoutItsLease: the keys went with the lease, so there is nothing to delete.
func TestCloseSucceedsWithoutItsLease(t *testing.T) {
	ctx := clienttest.Within(t, 30*time.Second)
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	for range 10 { // the Keeper may notice first
		k := New(c, 60, 1000)
		_, err := k.Keep(ctx, Spec{
			Key: t.Name(), Judge: func(Found) Verdict { return Verdict{} }, Notify: func(Kind, error) {},
		})
		clienttest.OK(t, "Keep", err)
		_, err = c.Revoke(ctx, k.Lease())
		clienttest.OK(t, "Revoke", err)
		clienttest.OK(t, "Close", k.Close())
	}
}
