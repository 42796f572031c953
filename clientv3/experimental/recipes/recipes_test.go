package recipe_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	recipe "github.com/fairlead-go/fairlead/clientv3/experimental/recipes"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestBarrier(t *testing.T) {
	c := shared(t)
	b := recipe.NewBarrier(c, t.Name())
	ok(t, "Wait without Hold", b.Wait())
	ok(t, "Release without Hold", b.Release())
	ok(t, "Hold", b.Hold())
	if err := b.Hold(); err != recipe.ErrKeyExists {
		t.Errorf("Hold again: %v", err)
	}
	var waiting []<-chan error
	for range 10 {
		waiting = append(waiting, async(recipe.NewBarrier(c, t.Name()).Wait))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := b.WaitContext(ctx); err != context.DeadlineExceeded {
		t.Errorf("Wait with a context that ends: %v", err)
	}
	for _, w := range waiting {
		quiet(t, "Wait before Release", w)
	}
	ok(t, "Release", b.Release())
	for _, w := range waiting {
		ok(t, "Wait", clienttest.Receive(t, "Wait", w))
	}
}

func TestDoubleBarrier(t *testing.T) {
	c := shared(t)
	const n = 5
	var barriers []*recipe.DoubleBarrier
	for range n {
		barriers = append(barriers, recipe.NewDoubleBarrier(session(t, c), t.Name(), n))
	}
	for round := range 3 {
		var entering []<-chan error
		for i, b := range barriers {
			if i == n-1 { // all others wait for the last process
				clienttest.Await(
					t,
					"the others have entered",
					func() bool { return count(t, c, t.Name()+"/waiters/") == n-1 },
				)
				for _, e := range entering {
					quiet(t, "Enter before all are there", e)
				}
			}
			entering = append(entering, async(b.Enter))
		}
		for _, e := range entering {
			ok(t, "Enter", clienttest.Receive(t, "Enter", e))
		}
		if err := recipe.NewDoubleBarrier(session(t, c), t.Name(), n).Enter(); err != recipe.ErrTooManyClients {
			t.Fatalf("one too many: %v", err)
		}
		clienttest.Await(t, "it is gone", func() bool { return count(t, c, t.Name()+"/waiters/") == n })
		var leaving []<-chan error
		for i, b := range barriers {
			if i == n-1 {
				for _, l := range leaving {
					quiet(t, fmt.Sprint("Leave before all leave, round ", round), l)
				}
			}
			leaving = append(leaving, async(b.Leave))
		}
		for _, l := range leaving {
			ok(t, "Leave", clienttest.Receive(t, "Leave", l))
		}
		if k := count(t, c, t.Name()); k != 0 {
			t.Fatalf("%d keys are left", k)
		}
	}
}

// A process whose session ends has left; a process whose context ends has not entered.
func TestDoubleBarrierWithoutOne(t *testing.T) {
	c := shared(t)
	gone := session(t, c)
	one, two := recipe.NewDoubleBarrier(session(t, c), t.Name(), 2), recipe.NewDoubleBarrier(gone, t.Name(), 2)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := one.EnterContext(ctx); err != context.DeadlineExceeded {
		t.Fatalf("%v", err)
	}
	clienttest.Await(t, "nobody is there", func() bool { return count(t, c, t.Name()) == 0 })
	entered := async(one.Enter)
	ok(t, "Enter", two.Enter())
	ok(t, "Enter", clienttest.Receive(t, "Enter", entered))
	left := async(one.Leave)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	ok(t, "Leave", clienttest.Receive(t, "Leave", left))
	ok(t, "Leave without Enter", one.Leave())
	lost := session(t, c)
	waits := async(recipe.NewDoubleBarrier(lost, t.Name(), 2).Enter)
	clienttest.Await(t, "it waits", func() bool { return count(t, c, t.Name()) == 1 })
	if _, err := c.Revoke(clienttest.Within(t, clienttest.Long), lost.Lease()); err != nil {
		t.Fatal(err)
	}
	if err := clienttest.Receive(t, "Enter of a revoked session", waits); err != concurrency.ErrOwnershipLost &&
		err != concurrency.ErrSessionExpired {
		t.Errorf("Enter of a revoked session: %v", err)
	}
}

func TestQueue(t *testing.T) {
	c := shared(t)
	q := recipe.NewQueue(c, t.Name())
	for i := range 10 {
		ok(t, "Enqueue", q.Enqueue(fmt.Sprint(i)))
	}
	for i := range 10 {
		if v, err := q.Dequeue(); err != nil || v != fmt.Sprint(i) {
			t.Fatalf("%q, %v, want %d", v, err, i)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if v, err := q.DequeueContext(ctx); err != context.DeadlineExceeded {
		t.Errorf("an empty queue: %q, %v", v, err)
	}
	many(t, func(v string) error { return q.Enqueue(v) }, q.DequeueContext)
}

// many puts and takes at the same time: each value comes once.
func many(t *testing.T, put func(string) error, take func(context.Context) (string, error)) {
	t.Helper()
	const clients, each = 8, 20
	var mu sync.Mutex
	var got []string
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for j := range each {
				if err := put(fmt.Sprintf("%d-%d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range each {
				v, err := take(clienttest.Within(t, clienttest.Long))
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
	if n := len(slices.Compact(got)); n != clients*each {
		t.Errorf("%d different values, want %d", n, clients*each)
	}
}

func TestPriorityQueue(t *testing.T) {
	c := shared(t)
	q := recipe.NewPriorityQueue(c, t.Name())
	for _, p := range []uint16{7, 65535, 0, 7, 300} {
		ok(t, "Enqueue", q.Enqueue(fmt.Sprint(p), p))
	}
	for _, want := range []string{"0", "7", "7", "300", "65535"} {
		if v, err := q.Dequeue(); err != nil || v != want {
			t.Fatalf("%q, %v, want %s", v, err, want)
		}
	}
	many(t, func(v string) error { return q.Enqueue(v, 3) }, q.DequeueContext)
	if _, err := c.Put(clienttest.Within(t, clienttest.Long), t.Name()+"/00003/not a number", ""); err != nil {
		t.Fatal(err)
	}
	if err := q.Enqueue("x", 3); err == nil {
		t.Error("a key that does not belong there went unnoticed")
	}
}

// Readers share the lock, writers do not, and nobody overtakes another.
func TestRWMutex(t *testing.T) {
	c := shared(t)
	mutex := func() *recipe.RWMutex { return recipe.NewRWMutex(session(t, c), t.Name()) }
	r1, r2, w1, r3, w2 := mutex(), mutex(), mutex(), mutex(), mutex()
	ok(t, "Unlock without Lock", r1.Unlock())
	ok(t, "RLock", r1.RLock())
	ok(t, "RLock", r2.RLock())
	waiting := func(f func() error, n int64) <-chan error {
		done := async(f)
		clienttest.Await(t, "it waits", func() bool { return count(t, c, t.Name()) == n })
		return done
	}
	write1 := waiting(w1.Lock, 3)
	read3 := waiting(r3.RLock, 4)
	write2 := waiting(w2.Lock, 5)
	ok(t, "RUnlock", r2.RUnlock()) // the later reader ends first, while the earlier one still reads
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := mutex().LockContext(ctx); err != context.DeadlineExceeded {
		t.Fatalf("%v", err)
	}
	quiet(t, "a writer beside a reader", write1)
	ok(t, "RUnlock", r1.RUnlock())
	ok(t, "Lock", clienttest.Receive(t, "Lock", write1))
	quiet(t, "a reader beside a writer", read3)
	if w1.Claim().Fence() == 0 || w1.Claim().Context().Err() != nil {
		t.Error("the writer has no claim")
	}
	ok(t, "Unlock", w1.Unlock())
	ok(t, "RLock", clienttest.Receive(t, "RLock", read3))
	quiet(t, "a writer beside a reader", write2)
	ok(t, "RUnlock", r3.RUnlock())
	ok(t, "Lock", clienttest.Receive(t, "Lock", write2))
	ok(t, "Unlock", w2.Unlock())
	clienttest.Await(t, "all is free", func() bool { return count(t, c, t.Name()) == 0 })
}

// Under contention a writer always has the lock alone.
func TestRWMutexContention(t *testing.T) {
	c := shared(t)
	var readers, writers, most atomic.Int32
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			m := recipe.NewRWMutex(session(t, c), t.Name())
			if i%3 > 0 {
				if err := m.RLockContext(clienttest.Within(t, clienttest.Long)); err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), readers.Add(1)))
				if n := writers.Load(); n > 0 {
					t.Errorf("%d writers beside a reader", n)
				}
				readers.Add(-1)
			} else {
				if err := m.LockContext(clienttest.Within(t, clienttest.Long)); err != nil {
					t.Error(err)
					return
				}
				if w, r := writers.Add(1), readers.Load(); w > 1 || r > 0 {
					t.Errorf("%d writers and %d readers", w, r)
				}
				writers.Add(-1)
			}
			if err := m.UnlockContext(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestSemaphore(t *testing.T) {
	c := shared(t)
	const size, users = 3, 30
	var mu sync.Mutex
	got, inside, most := 0, 0, 0
	var held []*recipe.Semaphore
	for range size {
		m := recipe.NewSemaphore(session(t, c), t.Name(), size)
		ok(t, "Acquire", m.Acquire(clienttest.Within(t, clienttest.Long)))
		held = append(held, m)
	}
	err := recipe.NewSemaphore(session(t, c), t.Name(), size).Release(clienttest.Within(t, clienttest.Long))
	if err != recipe.ErrNotHeld {
		t.Errorf("Release without Acquire: %v", err)
	}
	for _, none := range []int{0, -1} {
		if err := recipe.NewSemaphore(session(t, c), t.Name(), none).Acquire(t.Context()); err == nil {
			t.Errorf("a semaphore for %d holders was acquired", none)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := recipe.NewSemaphore(session(t, c), t.Name(), size).Acquire(ctx); err != context.DeadlineExceeded {
		t.Errorf("one too many: %v", err)
	}
	clienttest.Await(t, "it is gone", func() bool { return count(t, c, t.Name()) == size })
	var wg sync.WaitGroup
	for range users {
		wg.Go(func() {
			m := recipe.NewSemaphore(session(t, c), t.Name(), size)
			if err := m.Acquire(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			got++
			mu.Unlock()
			mu.Lock()
			inside--
			mu.Unlock()
			if err := m.Release(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Error(err)
			}
		})
	}
	clienttest.Await(t, "all wait", func() bool { return count(t, c, t.Name()) == size+users })
	for i := range held { // the last holder first
		ok(t, "Release", held[len(held)-1-i].Release(clienttest.Within(t, clienttest.Long)))
	}
	wg.Wait()
	if got != users || most > size {
		t.Errorf("%d got in, %d at a time", got, most)
	}
}

func TestWaitEvents(t *testing.T) {
	c := shared(t)
	types := []mvccpb.Event_EventType{clientv3.EventTypePut, clientv3.EventTypeDelete}
	p, err := c.Put(clienttest.Within(t, clienttest.Long), t.Name(), "a")
	ok(t, "Put", err)
	d, err := c.Delete(clienttest.Within(t, clienttest.Long), t.Name())
	ok(t, "Delete", err)
	for _, wait := range []func(*clientv3.Client, string, int64,
		[]mvccpb.Event_EventType) (*clientv3.Event, error){recipe.WaitEvents, recipe.WaitPrefixEvents} {
		if ev, err := wait(c, t.Name(), p.Header.Revision, types); err != nil ||
			ev.Kv.ModRevision != d.Header.Revision {
			t.Errorf("%v, %v", ev, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = recipe.WaitEventsContext(ctx, c, t.Name(), d.Header.Revision+1, types)
	if err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	if _, err := c.Compact(clienttest.Within(t, clienttest.Long), d.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := recipe.WaitEvents(c, t.Name(), p.Header.Revision, types); err != rpctypes.ErrCompacted {
		t.Errorf("%v", err)
	}
}

// Every call with a context returns soon after its end although no server answers.
func TestCallsEndWithTheirContextsWhileFrozen(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	s := session(t, c)
	held := recipe.NewRWMutex(s, "held")
	ok(t, "Lock", held.Lock())
	entered := recipe.NewDoubleBarrier(s, "entered", 1)
	ok(t, "Enter", entered.Enter())
	place := recipe.NewSemaphore(s, "place", 1)
	ok(t, "Acquire", place.Acquire(clienttest.Within(t, clienttest.Long)))
	m := cluster.Members()[0]
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Thaw() })
	queue, priority := recipe.NewQueue(c, "q"), recipe.NewPriorityQueue(c, "p")
	barrier := recipe.NewBarrier(c, "b")
	for what, f := range map[string]func(context.Context) error{
		"Hold": barrier.HoldContext, "Release": barrier.ReleaseContext, "Wait": barrier.WaitContext,
		"Enter": recipe.NewDoubleBarrier(s, "d", 2).EnterContext, "Leave": entered.LeaveContext,
		"RLock": recipe.NewRWMutex(s, "rw").RLockContext, "Lock": recipe.NewRWMutex(s, "rw").LockContext,
		"Unlock":  held.UnlockContext,
		"Acquire": recipe.NewSemaphore(s, "s", 2).Acquire, "Release of a place": place.Release,
		"Enqueue":          func(ctx context.Context) error { return queue.EnqueueContext(ctx, "v") },
		"Dequeue":          func(ctx context.Context) error { _, err := queue.DequeueContext(ctx); return err },
		"priority Enqueue": func(ctx context.Context) error { return priority.EnqueueContext(ctx, "v", 1) },
		"priority Dequeue": func(ctx context.Context) error { _, err := priority.DequeueContext(ctx); return err },
	} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			if err := f(ctx); err != context.DeadlineExceeded {
				t.Errorf("%v", err)
			}
			if d := time.Since(began); d > 3*time.Second {
				t.Errorf("returned after %v", d)
			}
		})
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "nothing is left in the way", func() bool {
		return count(
			t,
			c,
			"rw/",
		)+count(
			t,
			c,
			"held/",
		)+count(
			t,
			c,
			"s/",
		)+count(
			t,
			c,
			"place/",
		)+count(
			t,
			c,
			"d/waiters/",
		) == 0
	})
}

// A waiting caller gets an error when its key was deleted or its session revoked.
func TestWaiterLosesItsKey(t *testing.T) {
	c := shared(t)
	for what, pair := range map[string]func(s *concurrency.Session,
		name string) (hold, wait func(context.Context) error){
		"writer": func(s *concurrency.Session, name string) (hold, wait func(context.Context) error) {
			return recipe.NewRWMutex(session(t, c), name).RLockContext, recipe.NewRWMutex(s, name).LockContext
		},
		"reader": func(s *concurrency.Session, name string) (hold, wait func(context.Context) error) {
			return recipe.NewRWMutex(session(t, c), name).LockContext, recipe.NewRWMutex(s, name).RLockContext
		},
		"semaphore": func(s *concurrency.Session, name string) (hold, wait func(context.Context) error) {
			one, two := recipe.NewSemaphore(session(t, c), name, 2), recipe.NewSemaphore(session(t, c), name, 2)
			return func(ctx context.Context) error { ok(t, "Acquire", one.Acquire(ctx)); return two.Acquire(ctx) },
				recipe.NewSemaphore(s, name, 2).Acquire
		},
		"double barrier": func(s *concurrency.Session, name string) (hold, wait func(context.Context) error) {
			return func(context.Context) error { return nil }, recipe.NewDoubleBarrier(s, name, 2).EnterContext
		},
	} {
		for _, how := range []string{"deleted", "revoked"} {
			t.Run(what+" "+how, func(t *testing.T) {
				name := t.Name() + "."
				s := session(t, c)
				hold, wait := pair(s, name)
				ok(t, "hold", hold(clienttest.Within(t, clienttest.Long)))
				before := count(t, c, name)
				done := async(func() error { return wait(clienttest.Within(t, clienttest.Long)) })
				clienttest.Await(t, "it waits", func() bool { return count(t, c, name) == before+1 })
				r, err := c.Get(clienttest.Within(t, clienttest.Long), name, clientv3.WithLastCreate()...)
				ok(t, "Get", err)
				want := map[string][]error{
					"deleted": {concurrency.ErrOwnershipLost},
					"revoked": {concurrency.ErrSessionExpired, concurrency.ErrOwnershipLost},
				}[how]
				if how == "deleted" {
					_, err = c.Delete(clienttest.Within(t, clienttest.Long), string(r.Kvs[0].Key))
				} else {
					_, err = c.Revoke(clienttest.Within(t, clienttest.Long), s.Lease())
				}
				ok(t, how, err)
				if err := clienttest.Receive(t, what, done); !slices.Contains(want, err) {
					t.Errorf("%v, want one of %v", err, want)
				}
			})
		}
	}
}
