package concurrency_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func TestSessionLife(t *testing.T) {
	c := clienttest.Shared(t)
	for _, tc := range []struct {
		name string
		opts []concurrency.SessionOption
		ttl  int64
	}{
		{"default", nil, 60},
		{"seconds", []concurrency.SessionOption{concurrency.WithTTL(7)}, 7},
		{"zero", []concurrency.SessionOption{concurrency.WithTTL(0)}, 60},
		{"negative", []concurrency.SessionOption{concurrency.WithTTL(-1)}, 60},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := concurrency.NewSession(c, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.TimeToLive(clienttest.Within(t, clienttest.Long), s.Lease())
			if err != nil || r.GrantedTTL != tc.ttl {
				t.Errorf("%+v, %v, want a TTL of %d", r, err, tc.ttl)
			}
			if s.Client() != c || s.Ctx().Err() != nil {
				t.Error("the session is not as made")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			ends(t, "Done", s.Done())
			if r, err := c.TimeToLive(clienttest.Within(t, clienttest.Long), s.Lease()); err != nil || r.TTL != -1 {
				t.Errorf("after Close: %+v, %v", r, err)
			}
			if err := s.Close(); err != rpctypes.ErrLeaseNotFound {
				t.Errorf("Close again: %v", err)
			}
		})
	}
	_, err := concurrency.NewSession(c, concurrency.WithTTL(clientv3.MaxLeaseTTL+1))
	if err != rpctypes.ErrLeaseTTLTooLarge {
		t.Errorf("a TTL above the limit: %v", err)
	}
}

// A session that takes over a lease keeps it, and Orphan leaves it.
func TestSessionWithLease(t *testing.T) {
	c := clienttest.Shared(t)
	first := session(t, c, concurrency.WithTTL(5))
	first.Orphan()
	ends(t, "Done", first.Done())
	if cause := context.Cause(first.Ctx()); cause == concurrency.ErrSessionExpired {
		t.Errorf("an orphaned session has expired: %v", cause)
	}
	second := session(t, c, concurrency.WithLease(first.Lease()))
	if second.Lease() != first.Lease() {
		t.Fatal("another lease")
	}
	m := concurrency.NewMutex(second, t.Name())
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if k := keys(t, c, t.Name()); len(k) != 0 {
		t.Errorf("left after Close: %v", k)
	}
	gone := session(t, c, concurrency.WithLease(12345))
	ends(t, "a session with a lease that does not exist", gone.Done())
	if cause := context.Cause(gone.Ctx()); cause != concurrency.ErrSessionExpired {
		t.Errorf("%v", cause)
	}
}

// While it holds a key, a session learns at once that its lease was revoked.
func TestSessionKnowsOfRevocation(t *testing.T) {
	c := clienttest.Shared(t)
	s := session(t, c)
	m := concurrency.NewMutex(s, t.Name())
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	held := m.Context()
	began := time.Now()
	if _, err := c.Revoke(clienttest.Within(t, clienttest.Long), s.Lease()); err != nil {
		t.Fatal(err)
	}
	ends(t, "the ownership", held.Done())
	ends(t, "the session", s.Done())
	if d := time.Since(began); d > soon { // its TTL is 60 s
		t.Errorf("the session knew after %v", d)
	} else {
		t.Logf("the session knew after %v", d)
	}
	if err := context.Cause(s.Ctx()); err != concurrency.ErrSessionExpired {
		t.Errorf("cause: %v", err)
	}
	if err := context.Cause(held); err != concurrency.ErrOwnershipLost && err != concurrency.ErrSessionExpired {
		t.Errorf("cause of the ownership's end: %v", err)
	}
	for what, err := range map[string]error{
		"Lock":     m.Lock(clienttest.Within(t, clienttest.Long)),
		"TryLock":  m.TryLock(clienttest.Within(t, clienttest.Long)),
		"Campaign": concurrency.NewElection(s, t.Name()).Campaign(clienttest.Within(t, clienttest.Long), "v"),
	} {
		if err != rpctypes.ErrLeaseNotFound { // as from the server
			t.Errorf("%s of a session that has ended: %v", what, err)
		}
	}
	if err := m.Unlock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	if m.Key() != "\x00" {
		t.Errorf("after Unlock its key is %q", m.Key())
	}
	late := concurrency.NewMutex(s, t.Name())
	if err := late.Lock(clienttest.Within(t, clienttest.Long)); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("Lock: %v", err)
	}
	if want := fmt.Sprintf("%s/%x", t.Name(), s.Lease()); late.Key() != want {
		t.Errorf("Key is %q, want %q, which could not be put", late.Key(), want)
	}
}

func TestFrozenSession(t *testing.T) {
	_, s, freeze := frozen(t)
	freeze()
	returns(t, "NewSession", func(ctx context.Context) error {
		_, err := concurrency.NewSession(s.Client(), concurrency.WithContext(ctx))
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	adopted := session(t, s.Client(), concurrency.WithLease(s.Lease()), concurrency.WithContext(ctx))
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	if err := adopted.Close(); !errors.Is(err, context.Canceled) || time.Since(began) > soon {
		t.Errorf("Close: %v after %v", err, time.Since(began))
	}
}

// TestValidUntil: the time moves on with the renewals, is before the lease can expire on the
// server, and is zero when the session has ended.
func TestValidUntil(t *testing.T) {
	c := clienttest.Shared(t)
	before := time.Now()
	s := session(t, c, concurrency.WithTTL(3))
	first := s.ValidUntil()
	if first.Before(before.Add(2*time.Second)) || first.After(time.Now().Add(3*time.Second)) {
		t.Errorf("valid for %v from the beginning, with a TTL of 3 s", first.Sub(before))
	}
	clienttest.Await(t, "renewal", func() bool { return s.ValidUntil().After(first) })
	if until, ok := clientv3.LeaseValidUntil(c, s.Lease()); !ok || until.Before(first) {
		t.Errorf("asked by the client: %v, %v", until, ok)
	}
	within := namespace.NewLease(c.Lease, "ns/")
	if until, ok := clientv3.LeaseValidUntil(within, s.Lease()); !ok || until.Before(first) {
		t.Errorf("asked in a namespace: %v, %v", until, ok)
	}
	if until, ok := clientv3.LeaseValidUntil(struct{ clientv3.Lease }{c.Lease}, s.Lease()); ok || !until.IsZero() {
		t.Errorf("a Lease that does not know: %v", until)
	}
	if _, ok := clientv3.LeaseValidUntil(c, 1); ok {
		t.Error("a lease that is not kept is said to be held")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if until := s.ValidUntil(); !until.IsZero() {
		t.Errorf("closed, but valid until %v", until)
	}
}

func TestWithUntil(t *testing.T) {
	c := clienttest.Shared(t)
	ctx, cancel := context.WithCancel(context.Background())
	s := session(t, c, concurrency.WithUntil(ctx))
	cancel()
	ends(t, "session", s.Done())
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := concurrency.NewSession(c, concurrency.WithUntil(ctx)); err == nil {
		t.Error("a session was made after its end")
	}
}

// TestCloseUnderAContext: closing takes no longer than its own context allows. It works although
// the context that the session was made with has ended.
func TestCloseUnderAContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := session(t, clienttest.Shared(t), concurrency.WithContext(ctx))
	cancel()
	if err := s.CloseContext(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Error(err)
	}
	if err := s.CloseContext(clienttest.Within(t, clienttest.Long)); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("closed twice: %v, want that the lease is gone", err)
	}

	_, s, freeze := frozen(t)
	freeze()
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if err := s.CloseContext(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed without a server: %v", err)
	}
	ends(t, "the session", s.Done())
}
