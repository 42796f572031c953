package interop

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	theirs "go.etcd.io/etcd/client/v3"
	theirconcurrency "go.etcd.io/etcd/client/v3/concurrency"
	theirrecipe "go.etcd.io/etcd/client/v3/experimental/recipes"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	recipe "github.com/fairlead-go/fairlead/clientv3/experimental/recipes"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

const (
	contenders = 6 // of each kind
	rounds     = 10
)

// sessions makes a session of each kind that ends with the test.
func sessions(t *testing.T, o *ours.Client, x *theirs.Client) (*concurrency.Session, *theirconcurrency.Session) {
	t.Helper()
	a, err := concurrency.NewSession(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, err := theirconcurrency.NewSession(x)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

// guardedCount makes contenders of both kinds add to a count that is not safe by itself.
func guardedCount(t *testing.T, contender func(ours bool) (lock, unlock func() error)) {
	t.Helper()
	count, inside := 0, atomic.Int32{}
	var wg sync.WaitGroup
	for i := range 2 * contenders {
		lock, unlock := contender(i%2 == 0)
		wg.Go(func() {
			for range rounds {
				if err := lock(); err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d inside", n)
				}
				count++ // the race detector reports it if two are inside
				inside.Add(-1)
				if err := unlock(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if count != 2*contenders*rounds {
		t.Errorf("counted to %d, want %d", count, 2*contenders*rounds)
	}
}

func TestMutex(t *testing.T) {
	o, x := dial(t)
	ctx := within(t)
	guardedCount(t, func(isOurs bool) (lock, unlock func() error) {
		a, b := sessions(t, o, x)
		if isOurs {
			m := concurrency.NewMutex(a, "mutex")
			return func() error { return m.Lock(ctx) }, func() error { return m.Unlock(ctx) }
		}
		m := theirconcurrency.NewMutex(b, "mutex")
		return func() error { return m.Lock(ctx) }, func() error { return m.Unlock(ctx) }
	})
}

// A lock that one kind holds cannot be tried by the other.
func TestTryLock(t *testing.T) {
	o, x := dial(t)
	ctx := within(t)
	a, b := sessions(t, o, x)
	m, n := concurrency.NewMutex(a, "try"), theirconcurrency.NewMutex(b, "try")
	if err := m.TryLock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.TryLock(ctx); err != theirconcurrency.ErrLocked {
		t.Errorf("theirs: %v", err)
	}
	if err := m.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.TryLock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.TryLock(ctx); err != concurrency.ErrLocked {
		t.Errorf("ours: %v", err)
	}
	if err := n.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestElection(t *testing.T) {
	o, x := dial(t)
	ctx := within(t)
	guardedCount(t, func(isOurs bool) (lock, unlock func() error) {
		a, b := sessions(t, o, x)
		if isOurs {
			e := concurrency.NewElection(a, "election")
			return func() error { return e.Campaign(ctx, "ours") }, func() error { return e.Resign(ctx) }
		}
		e := theirconcurrency.NewElection(b, "election")
		return func() error { return e.Campaign(ctx, "theirs") }, func() error { return e.Resign(ctx) }
	})
}

// Each kind sees the other's leaders and proclamations.
func TestObserve(t *testing.T) {
	o, x := dial(t)
	ctx, cancel := context.WithCancel(within(t))
	a, b := sessions(t, o, x)
	e, f := concurrency.NewElection(a, "observed"), theirconcurrency.NewElection(b, "observed")
	byOurs, byTheirs := e.Observe(ctx), f.Observe(ctx)
	see := func(want string) {
		t.Helper()
		if r := <-byOurs; r == nil || string(r.Kvs[0].Value) != want {
			t.Fatalf("ours saw %v, want %q", r, want)
		}
		if r := <-byTheirs; r == nil || string(r.Kvs[0].Value) != want {
			t.Fatalf("theirs saw %v, want %q", r, want)
		}
	}
	for _, step := range []struct {
		value string
		do    func(string) error
	}{
		{"ours", func(v string) error { return e.Campaign(ctx, v) }},
		{"ours again", func(v string) error { return e.Proclaim(ctx, v) }},
		{"theirs", func(v string) error {
			if err := e.Resign(ctx); err != nil {
				return err
			}
			return f.Campaign(ctx, v)
		}},
		{"theirs again", func(v string) error { return f.Proclaim(ctx, v) }},
	} {
		if err := step.do(step.value); err != nil {
			t.Fatal(err)
		}
		see(step.value)
	}
	cancel()
	for range byOurs {
	}
	for range byTheirs {
	}
}

func TestRWMutex(t *testing.T) {
	o, x := dial(t)
	guardedCount(t, func(isOurs bool) (lock, unlock func() error) {
		a, b := sessions(t, o, x)
		if isOurs {
			m := recipe.NewRWMutex(a, "rw")
			return m.Lock, m.Unlock
		}
		m := theirrecipe.NewRWMutex(b, "rw")
		return m.Lock, m.Unlock
	})
	// Readers of both kinds share.
	a, b := sessions(t, o, x)
	m, n := recipe.NewRWMutex(a, "rw"), theirrecipe.NewRWMutex(b, "rw")
	for _, f := range []func() error{m.RLock, n.RLock, m.RUnlock, n.RUnlock} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
}

// queues puts and takes with both kinds: each value comes out once.
func queues(t *testing.T, put [2]func(string) error, take [2]func() (string, error)) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	var wg sync.WaitGroup
	for i := range 2 * contenders {
		wg.Go(func() {
			for j := range rounds {
				if err := put[i%2](fmt.Sprint(i, ".", j)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				v, err := take[i%2]()
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got = append(got, v)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 2*contenders*rounds {
		t.Errorf("%d different values, want %d", n, 2*contenders*rounds)
	}
}

func TestQueue(t *testing.T) {
	o, x := dial(t)
	q, r := recipe.NewQueue(o, "queue"), theirrecipe.NewQueue(x, "queue")
	queues(t, [2]func(string) error{q.Enqueue, r.Enqueue}, [2]func() (string, error){q.Dequeue, r.Dequeue})
	for i, put := range []func(string) error{q.Enqueue, r.Enqueue, q.Enqueue, r.Enqueue} {
		if err := put(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, take := range []func() (string, error){r.Dequeue, r.Dequeue, q.Dequeue, q.Dequeue} {
		if v, err := take(); err != nil || v != fmt.Sprint(i) {
			t.Errorf("%q, %v, want %d: not in order", v, err, i)
		}
	}
}

func TestPriorityQueue(t *testing.T) {
	o, x := dial(t)
	q, r := recipe.NewPriorityQueue(o, "priority"), theirrecipe.NewPriorityQueue(x, "priority")
	queues(t, [2]func(string) error{
		func(v string) error { return q.Enqueue(v, 5) }, func(v string) error { return r.Enqueue(v, 5) },
	}, [2]func() (string, error){q.Dequeue, r.Dequeue})
}

// TestWhoLeavesADoubleBarrierLast: both clients mean the same process, the first by revision. The
// names are made from clocks, so they may have another order when two enter at once. If the
// clients disagreed, each would wait for the other.
func TestWhoLeavesADoubleBarrierLast(t *testing.T) {
	o, x := dial(t)
	s, u := sessions(t, o, x)
	for name, b := range map[string]interface {
		Enter() error
		Leave() error
	}{"ours": recipe.NewDoubleBarrier(s, "ours", 2), "theirs": theirrecipe.NewDoubleBarrier(u, "theirs", 2)} {
		waiters := name + "/waiters/"
		keys := func() int64 {
			r, err := o.Get(within(t), waiters, ours.WithPrefix(), ours.WithCountOnly())
			if err != nil {
				t.Fatal(err)
			}
			return r.Count
		}
		done := make(chan error, 1)
		go func() { done <- b.Enter() }()
		clienttest.Await(t, name+" has put its key", func() bool { return keys() == 1 })
		for _, key := range []string{waiters + "0", name + "/ready"} { // the lowest name, which entered last
			if _, err := o.Put(within(t), key, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		go func() { done <- b.Leave() }()
		select {
		case err := <-done:
			t.Fatalf("%s left first: %v", name, err)
		case <-time.After(100 * time.Millisecond): // since it must not return
		}
		if n := keys(); n != 2 {
			t.Errorf("%s: %d keys, and it should wait for the other to leave", name, n)
		}
		if _, err := o.Delete(within(t), waiters+"0"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := keys(); n != 0 {
			t.Errorf("%s: %d keys are left", name, n)
		}
	}
}

func TestBarriers(t *testing.T) {
	o, x := dial(t)
	b, c := recipe.NewBarrier(o, "barrier"), theirrecipe.NewBarrier(x, "barrier")
	for _, pair := range [][2]interface{ Hold() error }{{b, c}, {c, b}} {
		if err := pair[0].Hold(); err != nil {
			t.Fatal(err)
		}
		if pair[1].Hold() == nil {
			t.Error("held twice")
		}
		done := make(chan error, 2)
		go func() { done <- b.Wait() }()
		go func() { done <- c.Wait() }()
		if err := pair[1].(interface{ Release() error }).Release(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	// Double barriers in which the first and the last are of either kind.
	for round := range 4 {
		var members []interface {
			Enter() error
			Leave() error
		}
		for i := range 4 {
			s, u := sessions(t, o, x)
			if (i+round)%2 == 0 {
				members = append(members, recipe.NewDoubleBarrier(s, "double", 4))
			} else {
				members = append(members, theirrecipe.NewDoubleBarrier(u, "double", 4))
			}
		}
		for _, step := range []string{"enter", "leave"} {
			var wg sync.WaitGroup
			for _, m := range members {
				wg.Go(func() {
					f := m.Enter
					if step == "leave" {
						f = m.Leave
					}
					if err := f(); err != nil {
						t.Errorf("%s: %v", step, err)
					}
				})
			}
			wg.Wait()
		}
		if r, err := o.Get(within(t), "double", ours.WithPrefix(), ours.WithCountOnly()); err != nil || r.Count != 0 {
			t.Errorf("%v, %v: keys are left", r, err)
		}
	}
}
