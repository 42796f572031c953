package concurrency_test

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// orphans are the ways in which a session's renewals end while its lease goes on.
func orphans(t *testing.T, c *clientv3.Client, f func(t *testing.T, s *concurrency.Session, orphan func())) {
	t.Run("orphan", func(t *testing.T) {
		s := session(t, c)
		f(t, s, s.Orphan)
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s := session(t, c, concurrency.WithContext(ctx))
		t.Cleanup(func() { _, _ = c.Revoke(clienttest.Within(t, clienttest.Long), s.Lease()) })
		f(t, s, func() { cancel(); ends(t, "Done", s.Done()) })
	})
}

// TestOrphanedSessionServesUntilItsLeaseEnds: as long as there is a lease, waiting calls go on, new
// ones can begin, and held keys can be changed and released.
func TestOrphanedSessionServesUntilItsLeaseEnds(t *testing.T) {
	c := clienttest.Shared(t)
	orphans(t, c, func(t *testing.T, s *concurrency.Session, orphan func()) {
		ctx := clienttest.Within(t, clienttest.Long)
		other := session(t, c)
		busy := concurrency.NewMutex(other, t.Name()+"/busy")
		seat := concurrency.NewElection(other, t.Name()+"/seat")
		held := concurrency.NewMutex(s, t.Name()+"/held")
		led := concurrency.NewElection(s, t.Name()+"/led")
		for what, err := range map[string]error{
			"lock": busy.Lock(ctx), "campaign": seat.Campaign(ctx, "other"),
			"lock of the session": held.Lock(ctx), "campaign of the session": led.Campaign(ctx, "v"),
		} {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		wait := func(what, prefix string, f func() error) <-chan error {
			done := make(chan error, 1)
			go func() { done <- f() }()
			clienttest.Await(t, what, func() bool { return len(keys(t, c, prefix)) == 2 })
			return done
		}
		waits := concurrency.NewMutex(s, t.Name()+"/busy")
		locked := wait("a Lock waits", t.Name()+"/busy", func() error { return waits.Lock(ctx) })
		orphan()
		if held.Context().Err() == nil || led.Context().Err() == nil {
			t.Error("an ownership from before Orphan has not ended")
		}
		candidate := concurrency.NewElection(s, t.Name()+"/seat")
		elected := wait(
			"there is a candidate",
			t.Name()+"/seat",
			func() error { return candidate.Campaign(ctx, "mine") },
		)
		if err := busy.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
		if err := seat.Resign(ctx); err != nil {
			t.Fatal(err)
		}
		free, tried := concurrency.NewMutex(s, t.Name()+"/free"), concurrency.NewMutex(s, t.Name()+"/tried")
		for what, err := range map[string]error{
			"a Lock from before":      clienttest.Receive(t, "lock", locked),
			"a Campaign with a rival": clienttest.Receive(t, "election", elected),
			"Lock":                    free.Lock(ctx), "TryLock": tried.TryLock(ctx), "Lock again": held.Lock(ctx),
			"Proclaim": led.Proclaim(ctx, "w"), "Campaign again": led.Campaign(ctx, "x"),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, o := range map[string]concurrency.Owner{
			"waited": waits, "candidate": candidate, "free": free, "tried": tried, "held": held,
		} {
			if o.Context().Err() != nil || o.Fence() == 0 {
				t.Errorf("%s: not owned: %v", what, context.Cause(o.Context()))
			}
			if _, err := concurrency.Guard(ctx, c.KV, o).Then(clientv3.OpGet("x")).Commit(); err != nil {
				t.Errorf("%s: guard: %v", what, err)
			}
		}
		for what, err := range map[string]error{
			"Unlock": free.Unlock(ctx), "Resign": led.Resign(ctx), "Unlock of what was held": held.Unlock(ctx),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if k := append(keys(t, c, t.Name()+"/free"), keys(t, c, t.Name()+"/led")...); len(k) != 0 {
			t.Errorf("keys after the release: %v", k)
		}
		// The lease ends. A context that was asked for ends at once, although the TTL is 60 s.
		last := waits.Context()
		if _, err := c.Revoke(ctx, s.Lease()); err != nil {
			t.Fatal(err)
		}
		ends(t, "the ownership", last.Done())
		if err := free.Lock(ctx); err != rpctypes.ErrLeaseNotFound {
			t.Errorf("Lock without a lease: %v", err)
		}
	})
}

// TestOrphanedSessionEndsWithItsLease: owners and waiting calls learn that the lease has ended,
// although no renewal or event shows it.
func TestOrphanedSessionEndsWithItsLease(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	other := session(t, c)
	busy := concurrency.NewMutex(other, t.Name()+"/busy")
	if err := busy.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	s := session(t, c, concurrency.WithTTL(3))
	s.Orphan()
	m := concurrency.NewMutex(s, t.Name()+"/free")
	if err := m.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := concurrency.NewMutex(s, t.Name()+"/busy").Lock(ctx); err != concurrency.ErrSessionExpired {
		t.Errorf("a Lock that waits: %v", err)
	}
	ends(t, "the ownership", m.Context().Done())
	if cause := context.Cause(m.Context()); cause != concurrency.ErrSessionExpired {
		t.Errorf("the ownership ended with %v", cause)
	}
	if err := concurrency.NewElection(s, t.Name()+"/free").Campaign(ctx, "v"); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("Campaign: %v", err)
	}
}

// TestOrphanedLeaseRenewedElsewhere: an ownership lasts as long as the lease, which another client
// may renew.
func TestOrphanedLeaseRenewedElsewhere(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	const ttl = 4 // longer than a busy machine stands still
	s := session(t, c, concurrency.WithTTL(ttl))
	keeper := session(t, c, concurrency.WithLease(s.Lease()))
	s.Orphan()
	m := concurrency.NewMutex(s, t.Name())
	if err := m.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Context().Done():
		t.Fatalf("the ownership ended: %v", context.Cause(m.Context()))
	case <-time.After(2 * ttl * time.Second):
	}
	if err := keeper.Close(); err != nil {
		t.Fatal(err)
	}
	ends(t, "the ownership", m.Context().Done())
}

// TestOrphanedSessionLeavesNoGoroutines: held keys need none as long as no caller asks for the
// ownership's context. So sessions that are orphaned and dropped cost nothing.
func TestOrphanedSessionLeavesNoGoroutines(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	before := goroutines()
	for range 10 {
		s := session(t, c)
		early, late := concurrency.NewMutex(s, t.Name()+"/early"), concurrency.NewMutex(s, t.Name()+"/late")
		if err := early.Lock(ctx); err != nil {
			t.Fatal(err)
		}
		s.Orphan()
		if err := late.Lock(ctx); err != nil {
			t.Fatal(err)
		}
		e := concurrency.ResumeElection(s, t.Name(), late.Key(), late.Fence())
		if err := e.Proclaim(ctx, "v"); err != nil {
			t.Fatal(err)
		}
		clienttest.Await(t, "the last goroutine ends", func() bool { return goroutines() <= before })
		if err := e.Context().Err(); err != nil {
			t.Errorf("the leadership has ended: %v", err)
		}
		clienttest.Await(
			t,
			"a goroutine guards the ownership whose Context was requested",
			func() bool { return goroutines() > before },
		)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		ends(t, "the leadership", e.Context().Done())
	}
}

// goroutines counts those of the package.
func goroutines() (n int) {
	buf := make([]byte, 4<<20)
	for _, g := range bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if bytes.Contains(g, []byte("clientv3/concurrency.(*")) {
			n++
		}
	}
	return n
}

// TestOrphanedSessionOfAClosedClient: closing the client ends everything that the session still
// does.
func TestOrphanedSessionOfAClosedClient(t *testing.T) {
	server := etcdtest.Shared(t)
	etcdtest.CheckLeaks(t)
	c := clienttest.Dial(t, server.Endpoints()...)
	ctx := clienttest.Within(t, clienttest.Long)
	s := session(t, c)
	other := clienttest.Shared(t)
	owner := concurrency.NewMutex(session(t, other), t.Name())
	if err := owner.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	s.Orphan()
	done := make(chan error, 1)
	go func() { done <- concurrency.NewMutex(s, t.Name()).Lock(ctx) }()
	clienttest.Await(t, "a Lock waits", func() bool { return len(keys(t, c, t.Name())) == 2 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := clienttest.Receive(t, "the end of Lock", done); err == nil {
		t.Error("locked by a closed client")
	}
}
