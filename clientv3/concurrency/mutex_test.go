package concurrency_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMutex(t *testing.T) {
	c := clienttest.Shared(t)
	a, b := session(t, c), session(t, c)
	for _, name := range []string{"", "/plain", "/with/slashes/", "/späßchen %00"} {
		t.Run("name"+name, func(t *testing.T) {
			prefix := t.Name() + name
			if name == "" {
				prefix = ""
			}
			m, other := concurrency.NewMutex(a, prefix), concurrency.NewMutex(b, prefix)
			if m.Key() != "" || m.Header() != nil || m.Fence() != 0 || m.Context().Err() == nil {
				t.Error("a new mutex is not empty")
			}
			if err := m.Unlock(clienttest.Within(t, clienttest.Long)); err != concurrency.ErrLockReleased {
				t.Errorf("Unlock without Lock: %v", err)
			}
			if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%s/%x", prefix, a.Lease()); m.Key() != want {
				t.Errorf("key %q, want %q", m.Key(), want)
			}
			first := m.Fence()
			if m.Header().Revision != first || m.Context().Err() != nil {
				t.Errorf("fence %d, header %v", first, m.Header())
			}
			if err := other.TryLock(clienttest.Within(t, clienttest.Long)); err != concurrency.ErrLocked {
				t.Errorf("TryLock of a locked one: %v", err)
			}
			if k := keys(t, c, prefix+"/"); len(k) != 1 {
				t.Errorf("TryLock left its key: %v", k)
			}
			if r, err := c.Txn(clienttest.Within(t, clienttest.Long)).If(m.IsOwner()).Commit(); err != nil ||
				!r.Succeeded {
				t.Errorf("IsOwner: %v, %v", r, err)
			}
			if r, err := c.Txn(clienttest.Within(t, clienttest.Long)).If(other.IsOwner()).Commit(); err != nil ||
				r.Succeeded {
				t.Errorf("IsOwner of another: %v, %v", r, err)
			}
			held := m.Context()
			if err := m.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Fatal(err)
			}
			if m.Key() != "\x00" || held.Err() == nil || context.Cause(held) != concurrency.ErrLockReleased {
				t.Errorf("after Unlock: key %q, cause %v", m.Key(), context.Cause(held))
			}
			if err := m.Unlock(clienttest.Within(t, clienttest.Long)); err != concurrency.ErrLockReleased {
				t.Errorf("Unlock again: %v", err)
			}
			if err := other.TryLock(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Fatal(err)
			}
			if other.Fence() <= first {
				t.Errorf("fence %d after %d", other.Fence(), first)
			}
			if err := other.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Fatal(err)
			}
			if k := keys(t, c, prefix+"/"); len(k) != 0 {
				t.Errorf("left: %v", k)
			}
		})
	}
}

// Many contenders get the lock one at a time and in the order of their keys.
func TestContention(t *testing.T) {
	c := clienttest.Shared(t)
	const contenders = 100
	var mu sync.Mutex
	var order []int64
	inside := 0
	first := concurrency.NewMutex(session(t, c), t.Name())
	if err := first.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	s := session(t, c, concurrency.WithDistinctOwners())
	var wg sync.WaitGroup
	for range contenders {
		wg.Go(func() {
			m := concurrency.NewMutex(s, t.Name())
			if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			if inside != 1 {
				t.Errorf("%d contenders have the lock", inside)
			}
			order = append(order, m.Fence())
			inside--
			mu.Unlock()
			if err := m.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Error(err)
			}
		})
	}
	clienttest.Await(t, "all wait", func() bool { return len(keys(t, c, t.Name())) == contenders+1 })
	if err := first.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if len(order) != contenders || !slices.IsSorted(order) {
		t.Errorf("%d got the lock, in the order %v", len(order), order)
	}
}

// A Lock whose context ends while it waits removes its key.
func TestLockGivesUp(t *testing.T) {
	c := clienttest.Shared(t)
	owner, waiter := concurrency.NewMutex(session(t, c), t.Name()), concurrency.NewMutex(session(t, c), t.Name())
	if err := owner.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	returns(t, "Lock", waiter.Lock)
	clienttest.Await(
		t,
		"its key is gone",
		func() bool { return slices.Equal(keys(t, c, t.Name()), []string{owner.Key()}) },
	)
	// It can lock again.
	done := make(chan error, 1)
	go func() { done <- waiter.Lock(clienttest.Within(t, clienttest.Long)) }()
	clienttest.Await(t, "it waits", func() bool { return len(keys(t, c, t.Name())) == 2 })
	if err := owner.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A Lock that waits fails when its key is deleted or its session is revoked.
func TestWaiterLosesItsKey(t *testing.T) {
	c := clienttest.Shared(t)
	owner := concurrency.NewMutex(session(t, c), t.Name())
	if err := owner.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		do   func(key string, s *concurrency.Session) error
		want error
	}{
		{"deleted", func(key string, _ *concurrency.Session) error {
			_, err := c.Delete(context.Background(), key)
			return err
		}, concurrency.ErrOwnershipLost},
		{"revoked", func(_ string, s *concurrency.Session) error {
			_, err := c.Revoke(context.Background(), s.Lease())
			return err
		}, concurrency.ErrSessionExpired},
		{"closed", func(_ string, s *concurrency.Session) error { return s.Close() }, concurrency.ErrSessionExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := session(t, c)
			done := make(chan error, 1)
			go func() {
				done <- concurrency.NewMutex(s, "TestWaiterLosesItsKey").Lock(clienttest.Within(t, clienttest.Long))
			}()
			key := fmt.Sprintf("TestWaiterLosesItsKey/%x", s.Lease())
			clienttest.Await(
				t,
				"it waits",
				func() bool { return slices.Contains(keys(t, c, "TestWaiterLosesItsKey"), key) },
			)
			if err := tc.do(key, s); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != tc.want {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// An owner learns that its key was deleted. Its Unlock does not delete the key of the next owner.
func TestOwnerLosesItsKey(t *testing.T) {
	c := clienttest.Shared(t)
	s := session(t, c)
	m := concurrency.NewMutex(s, t.Name())
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(clienttest.Within(t, clienttest.Long), m.Key()); err != nil {
		t.Fatal(err)
	}
	held := m.Context()
	ends(t, "the ownership", held.Done())
	if err := context.Cause(held); err != concurrency.ErrOwnershipLost {
		t.Errorf("cause: %v", err)
	}
	if s.Ctx().Err() != nil {
		t.Error("the session ended because a key was deleted")
	}
	// The same session locks again, with the same key: a stale Unlock must not free it.
	again := concurrency.NewMutex(s, t.Name())
	if err := again.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if err := m.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Errorf("stale Unlock: %v", err)
	}
	if k := keys(t, c, t.Name()); !slices.Equal(k, []string{again.Key()}) || again.Context().Err() != nil {
		t.Errorf("the stale Unlock freed another's lock: %v", k)
	}
}

func TestMutexesOfOneSessionShareTheLockUnlessDistinct(t *testing.T) {
	c := clienttest.Shared(t)
	s := session(t, c)
	one, two := concurrency.NewMutex(s, t.Name()), concurrency.NewMutex(s, t.Name())
	for _, m := range []*concurrency.Mutex{one, two} {
		if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
			t.Fatalf("without the option both can lock: %v", err)
		}
	}
	held := two.Context()
	if err := one.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if context.Cause(held) != concurrency.ErrOwnershipLost {
		t.Error("the second owner did not learn that the key is gone")
	}
	s = session(t, c, concurrency.WithDistinctOwners())
	one, two = concurrency.NewMutex(s, t.Name()), concurrency.NewMutex(s, t.Name())
	if err := one.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if err := two.TryLock(clienttest.Within(t, clienttest.Long)); err != concurrency.ErrLocked {
		t.Errorf("TryLock of a second distinct owner: %v", err)
	}
	if err := one.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Errorf("the owner locks again: %v", err)
	}
}

func TestLocker(t *testing.T) {
	c := clienttest.Shared(t)
	l := concurrency.NewLocker(session(t, c), t.Name())
	l.Lock()
	if len(keys(t, c, t.Name())) != 1 {
		t.Error("not locked")
	}
	l.Unlock()
	defer func() {
		if recover() != concurrency.ErrLockReleased {
			t.Error("Unlock of an unlocked locker went unnoticed")
		}
	}()
	l.Unlock()
}

// Calls return when their context ends, although no server answers.
func TestFrozenMutex(t *testing.T) {
	m, s, freeze := frozen(t)
	held := concurrency.NewMutex(s, "held")
	if err := held.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	freeze()
	free := concurrency.NewMutex(s, "free")
	returns(t, "Lock", free.Lock)
	returns(t, "TryLock", free.TryLock)
	returns(t, "Unlock", held.Unlock)
	returns(t, "Lock again", held.Lock)
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "all keys are gone", func() bool {
		return len(keys(t, s.Client(), "free")) == 0 && len(keys(t, s.Client(), "held")) == 0
	})
	for _, m := range []*concurrency.Mutex{free, held} {
		if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
			t.Errorf("after the thaw: %v", err)
		}
	}
}

// A Lock that timed out at a frozen leader is executed when the leader thaws. The lock must not
// stay taken.
func TestLateLockIsFreed(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	leader := c.Leader(t)
	// Through the leader only: so the request waits in the frozen process.
	cli := clienttest.Dial(t, leader.Endpoint)
	s := session(t, cli, concurrency.WithTTL(60))
	if err := leader.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leader.Thaw() })
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if err := concurrency.NewMutex(s, "late").Lock(ctx); err != context.DeadlineExceeded {
		t.Fatalf("%v", err)
	}
	if err := leader.Thaw(); err != nil {
		t.Fatal(err)
	}
	// The cluster may execute the request or not. The client must free the lock in the end.
	other := clienttest.Dial(t, c.Endpoints()...)
	clienttest.Await(t, "the cluster works", func() bool {
		_, err := other.Put(clienttest.Within(t, soon), "works", "")
		return err == nil
	})
	clienttest.Await(t, "the late key is gone", func() bool { return len(keys(t, other, "late")) == 0 })
	m := concurrency.NewMutex(session(t, other), "late")
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if s.Ctx().Err() != nil {
		t.Log("the session was lost meanwhile")
	}
}

// A key that appears after Lock has given up is removed, however late: here the request is lost,
// and the test plays the server that executes it.
func TestLateKeyIsRemoved(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	s := session(t, clienttest.Dial(t, cluster.Endpoints()...))
	proxy := cluster.Members()[0].Proxy()
	proxy.BlackHole()
	mx := concurrency.NewMutex(s, "late")
	returns(t, "Lock", mx.Lock)
	proxy.Reset() // the swallowed request is lost
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("late/%x", s.Lease())
	direct := clienttest.Dial(t, cluster.Members()[0].Direct)
	if _, err := direct.Put(clienttest.Within(t, clienttest.Long), key, "", clientv3.WithLease(s.Lease())); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the late key is gone", func() bool { return len(keys(t, s.Client(), "late")) == 0 })
	// The same key stays while a Lock waits for it or holds it.
	if err := mx.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Put(clienttest.Within(t, clienttest.Long), "late/later", ""); err != nil {
		t.Fatal(err)
	}
	if k := keys(t, s.Client(), key); len(k) != 1 || mx.Context().Err() != nil {
		t.Errorf("the lock was removed: %v", k)
	}
}

func TestGuard(t *testing.T) {
	c := clienttest.Shared(t)
	m := concurrency.NewMutex(session(t, c), t.Name())
	key := t.Name() + ".value"
	guarded := func() (*clientv3.TxnResponse, error) {
		return concurrency.Guard(clienttest.Within(t, clienttest.Long), c, m).
			If(clientv3.Compare(clientv3.Version(key), "=", 0)).
			Then(clientv3.OpPut(key, "first")).
			Else(clientv3.OpGet(key)).
			Commit()
	}
	if _, err := guarded(); err != concurrency.ErrNotOwner || !clientv3.SafeToRetry(err) {
		t.Errorf("before Lock: %v", err)
	}
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if r, err := guarded(); err != nil || !r.Succeeded || r.Responses[0].GetResponsePut() == nil ||
		r.Header.Revision == 0 {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := guarded(); err != nil || r.Succeeded ||
		string(r.Responses[0].GetResponseRange().Kvs[0].Value) != "first" {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.Delete(clienttest.Within(t, clienttest.Long), m.Key()); err != nil {
		t.Fatal(err)
	}
	_, err := concurrency.Guard(clienttest.Within(t, clienttest.Long), c, m).Then(clientv3.OpPut(key, "stale")).Commit()
	if err != concurrency.ErrNotOwner {
		t.Errorf("with the key deleted: %v", err)
	}
	if r, err := c.Get(clienttest.Within(t, clienttest.Long), key); err != nil || string(r.Kvs[0].Value) != "first" {
		t.Errorf("the transaction of an owner that lost the lock was executed: %v, %v", r, err)
	}
}

// Another client's key under the prefix counts as a contender.
func TestForeignKey(t *testing.T) {
	c := clienttest.Shared(t)
	if _, err := c.Put(clienttest.Within(t, clienttest.Long), t.Name()+"/a foreign key", "x"); err != nil {
		t.Fatal(err)
	}
	m := concurrency.NewMutex(session(t, c), t.Name())
	if err := m.TryLock(clienttest.Within(t, clienttest.Long)); err != concurrency.ErrLocked {
		t.Errorf("TryLock: %v", err)
	}
	returns(t, "Lock", m.Lock)
	done := make(chan error, 1)
	go func() { done <- m.Lock(clienttest.Within(t, clienttest.Long)) }()
	clienttest.Await(t, "it waits", func() bool { return len(keys(t, c, t.Name())) == 2 })
	if _, err := c.Delete(clienttest.Within(t, clienttest.Long), t.Name()+"/a foreign key"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r, err := c.Get(clienttest.Within(t, clienttest.Long), m.Key()); err != nil || len(r.Kvs) != 1 {
		t.Errorf("%v, %v", r, err)
	}
}

// TestHeaderOfALockThatWaitedIsOfItsEnd: Header is of the answer that showed that the lock was
// free, not of the one that put the key.
func TestHeaderOfALockThatWaitedIsOfItsEnd(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	first, second := concurrency.NewMutex(session(t, c), t.Name()), concurrency.NewMutex(session(t, c), t.Name())
	if err := first.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- second.Lock(ctx) }()
	clienttest.Await(t, "the second waits", func() bool { return len(keys(t, c, t.Name()+"/")) == 2 })
	if err := first.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := clienttest.Receive(t, "Lock", done); err != nil {
		t.Fatal(err)
	}
	if h := second.Header(); h.GetRevision() <= second.Fence() {
		t.Errorf("header of revision %d, but the key was put at %d", h.GetRevision(), second.Fence())
	}
}
