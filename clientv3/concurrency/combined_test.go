package concurrency_test

// These tests release a lock's key, delete it, or give it to another owner at an unlucky moment. To
// hit these moments, they wrap the client's KV and Watcher, and act between a server's answer and
// its receipt.

import (
	"context"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// between acts between answers and their receipt. got and watched are set before the client is
// used.
type between struct {
	clientv3.KV
	clientv3.Watcher
	got     func(error)      // after a Get
	watched func(key string) // before a Watch

	mu        sync.Mutex
	committed func(n int) // guarded by mu; after the n-th transaction since it was set
	txns      int         // guarded by mu
}

func interpose(c *clientv3.Client) *between {
	b := &between{KV: c.KV, Watcher: c.Watcher}
	c.KV, c.Watcher = b, b
	return b
}

func (b *between) after(f func(n int)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.committed, b.txns = f, 0
}

func (b *between) Close() error { return b.Watcher.Close() }

func (b *between) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := b.KV.Get(ctx, key, opts...)
	if b.got != nil {
		b.got(err)
	}
	return r, err
}

func (b *between) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if b.watched != nil {
		b.watched(key)
	}
	return b.Watcher.Watch(ctx, key, opts...)
}

func (b *between) Txn(ctx context.Context) clientv3.Txn { return &betweenTxn{b.KV.Txn(ctx), b} }

type betweenTxn struct {
	clientv3.Txn
	b *between
}

func (t *betweenTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn.If(cs...); return t }
func (t *betweenTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn.Then(ops...); return t }
func (t *betweenTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn.Else(ops...); return t }

func (t *betweenTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.Txn.Commit()
	t.b.mu.Lock()
	t.b.txns++
	f, n := t.b.committed, t.b.txns
	t.b.mu.Unlock()
	if f != nil {
		f(n)
	}
	return r, err
}

// TestKeyReleasedWhileAnotherMutexOfTheSessionGetsIt: two mutexes of a session share a key. The
// second one has the answer that it shares the key, or even that the key is the first in line. Then
// the first mutex is unlocked, and another session gets the lock. The second waits in line again.
func TestKeyReleasedWhileAnotherMutexOfTheSessionGetsIt(t *testing.T) {
	for name, at := range map[string]int{"found": 1, "first": 2} {
		t.Run(name, func(t *testing.T) {
			c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
			b := interpose(c)
			ctx := clienttest.Within(t, clienttest.Long)
			s, other := session(t, c), concurrency.NewMutex(session(t, clienttest.Shared(t)), t.Name())
			first, second := concurrency.NewMutex(s, t.Name()), concurrency.NewMutex(s, t.Name())
			if err := first.Lock(ctx); err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			b.after(func(n int) {
				if n != at {
					return
				}
				if err := first.Unlock(ctx); err != nil {
					t.Errorf("Unlock: %v", err)
				}
				if err := other.Lock(ctx); err != nil {
					t.Errorf("Lock of the other session: %v", err)
				}
			})
			go func() { got <- second.Lock(ctx) }()
			clienttest.Await(t, "the second mutex waits for the other session", func() bool {
				return len(keys(t, clienttest.Shared(t), t.Name()+"/")) == 2 || len(got) > 0
			})
			if len(got) > 0 {
				t.Fatalf("Lock returned %v while another session had the lock", <-got)
			}
			if err := other.Unlock(ctx); err != nil {
				t.Fatal(err)
			}
			if err := clienttest.Receive(t, "Lock", got); err != nil {
				t.Fatal(err)
			}
			if err := second.Context().Err(); err != nil {
				t.Errorf("it owns the lock, but its context has ended: %v", err)
			}
			if err := second.Unlock(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestResignWithdrawsAllThatWait: two Campaigns of one candidate share its key.
func TestResignWithdrawsAllThatWait(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	leader, e := concurrency.NewElection(session(t, c), t.Name()), concurrency.NewElection(session(t, c), t.Name())
	if err := leader.Campaign(ctx, "leader"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	for _, val := range []string{"a", "b"} {
		go func() { done <- e.Campaign(ctx, val) }()
		clienttest.Await(t, "it is a candidate with that value", func() bool {
			r, err := c.Get(ctx, t.Name()+"/", clientv3.WithLastCreate()...)
			return err == nil && string(r.Kvs[0].Value) == val
		})
	}
	if err := e.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := clienttest.Receive(t, "Campaign", done); err != concurrency.ErrElectionNotLeader {
			t.Errorf("Campaign: %v", err)
		}
	}
	if k := keys(t, c, t.Name()+"/"); len(k) != 1 {
		t.Errorf("candidates are left: %v", k)
	}
}

// TestCampaignGoesOnWhenAnotherElectionOfTheSessionResigns: two elections share a key. When one
// resigns, the Campaign of the other must not fail.
func TestCampaignGoesOnWhenAnotherElectionOfTheSessionResigns(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	s := session(t, c)
	leader := concurrency.NewElection(session(t, c), t.Name())
	one, two := concurrency.NewElection(s, t.Name()), concurrency.NewElection(s, t.Name())
	if err := leader.Campaign(ctx, "leader"); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- one.Campaign(ctx, "one") }()
	clienttest.Await(t, "one is a candidate", func() bool { return len(keys(t, c, t.Name()+"/")) == 2 })
	go func() { second <- two.Campaign(ctx, "two") }()
	clienttest.Await(t, "two has put its value", func() bool {
		r, err := c.Get(ctx, t.Name()+"/", clientv3.WithLastCreate()...)
		return err == nil && string(r.Kvs[0].Value) == "two"
	})
	if err := one.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if err := clienttest.Receive(t, "Campaign", first); err != concurrency.ErrElectionNotLeader {
		t.Errorf("the one that resigned: %v", err)
	}
	clienttest.Await(t, "the other is a candidate again", func() bool {
		r, err := c.Get(ctx, t.Name()+"/", clientv3.WithLastCreate()...)
		return err == nil && string(r.Kvs[0].Value) == "two" && len(second) == 0 || len(second) > 0
	})
	if err := leader.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if err := clienttest.Receive(t, "Campaign", second); err != nil {
		t.Errorf("the one that did not resign: %v", err)
	}
	if two.Context().Err() != nil {
		t.Error("it leads, but its context has ended")
	}
}

// TestClaimOfAnotherSessionsKey: a claim does not take it, since two owners would have one fence.
func TestClaimOfAnotherSessionsKey(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	a, b := session(t, c), session(t, c)
	mine, err := concurrency.NewClaim(ctx, a, t.Name(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if claim, err := concurrency.NewClaim(ctx, b, t.Name(), "b"); err != concurrency.ErrLocked {
		t.Fatalf("another session claims the same key: %v, %v", claim, err)
	}
	again, err := concurrency.NewClaim(ctx, a, t.Name(), "a")
	if err != nil || again.Fence() != mine.Fence() {
		t.Errorf("the same session: %v, %v", again, err)
	}
	if _, err := c.Put(ctx, t.Name()+"/free", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := concurrency.NewClaim(ctx, a, t.Name()+"/free", "a"); err != concurrency.ErrLocked {
		t.Errorf("a key without a lease: %v", err)
	}
	if err := mine.Release(ctx); err != nil {
		t.Fatal(err)
	}
	claim, err := concurrency.NewClaim(ctx, b, t.Name(), "b")
	if err != nil || claim.Fence() <= mine.Fence() {
		t.Errorf("after the release: %v, %v", claim, err)
	}
}

// TestLateClaimSparesAnotherSessionsKey: a claim's request is lost, and another session takes the
// key. The first session waits for its late key to delete it, but must not delete the other's.
func TestLateClaimSparesAnotherSessionsKey(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	b := interpose(c)
	s := session(t, c)
	direct := clienttest.Dial(t, cluster.Members()[0].Direct)
	other := session(t, direct)
	proxy := cluster.Members()[0].Proxy()
	proxy.BlackHole()
	returns(t, "NewClaim", func(ctx context.Context) error {
		_, err := concurrency.NewClaim(ctx, s, "k", "")
		return err
	})
	proxy.Reset() // the swallowed request is lost
	ctx := clienttest.Within(t, clienttest.Long)
	claim, err := concurrency.NewClaim(ctx, other, "k", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	// When the session deletes its own late key, it has also seen the other's.
	if err := claim.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if claim, err = concurrency.NewClaim(ctx, other, "k", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := concurrency.NewClaim(ctx, s, "k", ""); err != concurrency.ErrLocked {
		t.Fatalf("the key of another session is claimed: %v", err)
	}
	deleted := make(chan struct{})
	b.after(func(int) { close(deleted) })
	if _, err := direct.Txn(ctx).Then(clientv3.OpDelete("k")).Commit(); err != nil {
		t.Fatal(err)
	}
	ends(t, "the claim", claim.Context().Done())
	if _, err := direct.Put(ctx, "k", "late", clientv3.WithLease(s.Lease())); err != nil {
		t.Fatal(err)
	}
	ends(t, "the late key", deleted)
	if r, err := direct.Get(ctx, "k", clientv3.WithRev(claim.Fence())); err != nil || len(r.Kvs) != 1 ||
		r.Kvs[0].Lease != int64(other.Lease()) {
		t.Errorf("%v, %v", r, err)
	}
}

// TestDeletionWhileReadingIsDenied: for a moment the owner may not read, and its key is deleted
// then. It may read again as soon as a watch and a get have been refused.
func TestDeletionWhileReadingIsDenied(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	ctx := clienttest.Within(t, clienttest.Long)
	setup := clienttest.Dial(t, cluster.Endpoints()...)
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	all := clientv3.PermissionType(clientv3.PermReadWrite)
	grant := func(c *clientv3.Client) error {
		_, err := c.RoleGrantPermission(ctx, "owner", "lock/", clientv3.GetPrefixRangeEnd("lock/"), all)
		return err
	}
	do(setup.UserAdd(ctx, "root", "pw"))
	do(setup.RoleAdd(ctx, "root"))
	do(setup.UserGrantRole(ctx, "root", "root"))
	do(setup.UserAdd(ctx, "owner", "pw"))
	do(setup.RoleAdd(ctx, "owner"))
	do(nil, grant(setup))
	do(setup.UserGrantRole(ctx, "owner", "owner"))
	do(setup.AuthEnable(ctx))
	login := func(name string) *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Username: name, Password: "pw"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	root, c := login("root"), login("owner")
	b, denied := interpose(c), make(chan error, 1)
	watches := 0 // only the guard watches, and one at a time
	b.watched = func(key string) {
		if watches++; watches > 1 {
			return
		}
		_, err := root.RoleRevokePermission(ctx, "owner", "lock/", clientv3.GetPrefixRangeEnd("lock/"))
		if err == nil {
			_, err = root.Delete(ctx, key)
		}
		if err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	b.got = func(err error) {
		if err == rpctypes.ErrPermissionDenied && len(denied) == 0 {
			denied <- err
			if err := grant(root); err != nil {
				t.Errorf("grant: %v", err)
			}
		}
	}
	m := concurrency.NewMutex(session(t, c), "lock")
	do(nil, m.Lock(ctx))
	ends(t, "the ownership", m.Context().Done())
	if cause := context.Cause(m.Context()); cause != concurrency.ErrOwnershipLost {
		t.Errorf("cause: %v", cause)
	}
	if len(denied) != 1 {
		t.Error("the owner was never refused")
	}
	do(nil, concurrency.NewMutex(session(t, root), "lock").TryLock(ctx))
}
