package concurrency_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestElection(t *testing.T) {
	c := clienttest.Shared(t)
	s := session(t, c)
	e := concurrency.NewElection(s, t.Name())
	if e.Key() != "" || e.Rev() != 0 || e.Header() != nil || e.Fence() != 0 || e.Context().Err() == nil {
		t.Error("a new election is not empty")
	}
	if err := e.Proclaim(clienttest.Within(t, clienttest.Long), "v"); err != concurrency.ErrElectionNotLeader {
		t.Errorf("Proclaim without Campaign: %v", err)
	}
	if err := e.Resign(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Errorf("Resign without Campaign: %v", err)
	}
	if _, err := e.Leader(clienttest.Within(t, clienttest.Long)); err != concurrency.ErrElectionNoLeader {
		t.Errorf("Leader: %v", err)
	}
	value := func(want string) {
		t.Helper()
		r, err := e.Leader(clienttest.Within(t, clienttest.Long))
		if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != want {
			t.Errorf("leader %v, %v, want %q", r, err, want)
		}
	}
	if err := e.Campaign(clienttest.Within(t, clienttest.Long), "one"); err != nil {
		t.Fatal(err)
	}
	value("one")
	if want := fmt.Sprintf("%s/%x", t.Name(), s.Lease()); e.Key() != want || e.Rev() != e.Fence() ||
		e.Header().Revision < e.Rev() {
		t.Errorf("key %q, want %q; revision %d, fence %d, header %v", e.Key(), want, e.Rev(), e.Fence(), e.Header())
	}
	if err := e.Campaign(clienttest.Within(t, clienttest.Long), "two"); err != nil {
		t.Fatal(err)
	}
	value("two")
	for _, v := range []string{"three", "four"} {
		if err := e.Proclaim(clienttest.Within(t, clienttest.Long), v); err != nil {
			t.Fatal(err)
		}
		value(v)
	}
	resumed := concurrency.ResumeElection(s, t.Name(), e.Key(), e.Rev())
	if err := resumed.Proclaim(clienttest.Within(t, clienttest.Long), "five"); err != nil ||
		resumed.Fence() != e.Fence() {
		t.Errorf("a resumed leadership: %v, fence %d", err, resumed.Fence())
	}
	value("five")
	if err := e.Proclaim(clienttest.Within(t, clienttest.Long), "six"); err != nil {
		t.Errorf("after another handle has proclaimed: %v", err)
	}
	value("six")
	held := e.Context()
	if err := e.Resign(clienttest.Within(t, clienttest.Long)); err != nil || held.Err() == nil {
		t.Errorf("Resign: %v; its context: %v", err, held.Err())
	}
	if k := keys(t, c, t.Name()); len(k) != 0 || e.Key() != "" {
		t.Errorf("after Resign: %v, key %q", k, e.Key())
	}
	err := resumed.Proclaim(clienttest.Within(t, clienttest.Long), "stale")
	if err != concurrency.ErrElectionNotLeader {
		t.Errorf("Proclaim after the key is gone: %v", err)
	}
	stranger := concurrency.ResumeElection(s, t.Name(), t.Name()+"/nobody", 1)
	ends(t, "a leadership that is none", stranger.Context().Done())
}

// TestWaitingCandidateProclaimsAndResigns: a candidate that waits can proclaim a value and resign.
// Its Campaign ends then, and it never leads.
func TestWaitingCandidateProclaimsAndResigns(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	leader := concurrency.NewElection(session(t, c), t.Name())
	if err := leader.Campaign(ctx, "leader"); err != nil {
		t.Fatal(err)
	}
	s := session(t, c)
	e := concurrency.NewElection(s, t.Name())
	key := fmt.Sprintf("%s/%x", t.Name(), s.Lease())
	for _, campaigns := range []int{1, 3} {
		done := make(chan error, campaigns)
		for range campaigns {
			go func() { done <- e.Campaign(ctx, "first") }()
		}
		clienttest.Await(t, "it is a candidate", func() bool { return slices.Contains(keys(t, c, t.Name()), key) })
		// The key is there a moment before the Campaign knows that it waits.
		clienttest.Await(t, "it proclaims", func() bool {
			err := e.Proclaim(ctx, "second")
			if err != nil && err != concurrency.ErrElectionNotLeader {
				t.Fatal(err)
			}
			return err == nil
		})
		r, err := c.Get(ctx, key)
		if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "second" && campaigns == 1 {
			t.Errorf("proclaimed: %v, %v", r, err)
		}
		if h := e.Header(); h.GetRevision() < r.Kvs[0].CreateRevision {
			t.Errorf("the header is %v", h)
		}
		if e.Key() != "" || e.Fence() != 0 || e.Context().Err() == nil {
			t.Error("a waiting candidate is said to lead")
		}
		_, err = concurrency.Guard(ctx, c.KV, e).Then(clientv3.OpPut(t.Name()+"x", "")).Commit()
		if err != concurrency.ErrNotOwner {
			t.Errorf("a guarded transaction of a waiting candidate: %v", err)
		}
		for len(done) < campaigns && ctx.Err() == nil { // a Campaign that has only just begun puts the key again
			if err := e.Resign(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if k := keys(t, c, t.Name()+"/"); len(k) != 1 {
			t.Errorf("keys after Resign: %v", k)
		}
		for range campaigns {
			if err := <-done; err != concurrency.ErrElectionNotLeader &&
				(err != concurrency.ErrOwnershipLost || campaigns == 1) {
				t.Errorf("Campaign: %v", err)
			}
		}
		if err := e.Proclaim(ctx, "third"); err != concurrency.ErrElectionNotLeader {
			t.Errorf("Proclaim after Resign: %v", err)
		}
	}
	if err := leader.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Leader(ctx); err != concurrency.ErrElectionNoLeader {
		t.Errorf("Leader: %v", err)
	}
}

// TestHeaderFollowsResign: Header is that of the answer to Resign, also if the key was gone before.
// It stays the same if there was nothing to resign.
func TestHeaderFollowsResign(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	e := concurrency.NewElection(session(t, c), t.Name())
	for _, gone := range []bool{false, true} {
		if err := e.Campaign(ctx, "v"); err != nil {
			t.Fatal(err)
		}
		if gone {
			if _, err := c.Delete(ctx, e.Key()); err != nil {
				t.Fatal(err)
			}
		}
		r, err := c.Put(ctx, t.Name()+"x", "") // moves the revision on
		if err != nil {
			t.Fatal(err)
		}
		want := r.Header.Revision
		if !gone {
			want++ // the deletion
		}
		for range 2 {
			if err := e.Resign(ctx); err != nil || e.Header().GetRevision() != want {
				t.Errorf("Resign: %v, header %v, want revision %d", err, e.Header(), want)
			}
		}
	}
}

// TestElectionAfterAVainCampaign: after a Campaign that failed the election does not lead. It
// reports the revision of the key that the Campaign put, as the official one does.
func TestElectionAfterAVainCampaign(t *testing.T) {
	c := clienttest.Shared(t)
	err := concurrency.NewElection(session(t, c), t.Name()).Campaign(clienttest.Within(t, clienttest.Long), "leader")
	if err != nil {
		t.Fatal(err)
	}
	before, err := c.Get(clienttest.Within(t, clienttest.Long), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	e := concurrency.NewElection(session(t, c), t.Name())
	// The put takes milliseconds, but has to be answered.
	returnsAfter(t, "Campaign", 2*time.Second,
		func(ctx context.Context) error { return e.Campaign(ctx, "candidate") })
	if e.Rev() <= before.Header.Revision || e.Header().GetRevision() != e.Rev() {
		t.Errorf("revision %d, header %v, but the leader's was %d", e.Rev(), e.Header(), before.Header.Revision)
	}
	if e.Key() != "" || e.Fence() != 0 || e.Context().Err() == nil {
		t.Errorf("it is said to lead: key %q, fence %d", e.Key(), e.Fence())
	}
}

// TestResignThatFailsEndsTheLeadership: Resign returns the error, and can be called again.
func TestResignThatFailsEndsTheLeadership(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	e := concurrency.NewElection(session(t, c), t.Name())
	if err := e.Campaign(ctx, "v"); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := e.Resign(ended); err != context.Canceled {
		t.Errorf("Resign: %v", err)
	}
	if e.Key() != "" || e.Fence() != 0 || e.Context().Err() == nil {
		t.Errorf("it is said to lead: key %q, fence %d", e.Key(), e.Fence())
	}
	if err := e.Proclaim(ctx, "late"); err != concurrency.ErrElectionNotLeader {
		t.Errorf("Proclaim: %v", err)
	}
	if err := e.Resign(ctx); err != nil {
		t.Errorf("Resign again: %v", err)
	}
	if k := keys(t, c, t.Name()); len(k) != 0 {
		t.Errorf("resigned, and there are %v", k)
	}
	if err := e.Campaign(ctx, "again"); err != nil || e.Key() == "" {
		t.Errorf("Campaign: %v, key %q", err, e.Key())
	}
}

// TestResumeElection: a resumed election is the one that NewElection makes, whatever key it is
// given, and with or without a slash at the prefix.
func TestResumeElection(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	for _, tc := range []struct {
		name, slash string
		key         func(own, other string) string
		leads       bool
	}{
		{"its own key", "", func(own, _ string) string { return own }, true},
		{"the prefix has the slash", "/", func(own, _ string) string { return own }, true},
		{"a former session's key", "", func(_, other string) string { return other }, true},
		{"no key", "", func(_, _ string) string { return "" }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, former := session(t, c), session(t, c)
			of := s
			if tc.name == "a former session's key" {
				of = former
			}
			led := concurrency.NewElection(of, t.Name())
			if tc.leads {
				if err := led.Campaign(ctx, "led"); err != nil {
					t.Fatal(err)
				}
			}
			e := concurrency.ResumeElection(s, t.Name()+tc.slash, tc.key(led.Key(), led.Key()), led.Rev())
			if e.Key() != led.Key() || e.Rev() != led.Rev() || e.Context().Err() == nil != tc.leads {
				t.Errorf("key %q, revision %d, context %v", e.Key(), e.Rev(), e.Context().Err())
			}
			if r, err := e.Leader(ctx); tc.leads && (err != nil || string(r.Kvs[0].Key) != led.Key()) {
				t.Errorf("the leader is %v, %v", r, err)
			}
			if err := e.Resign(ctx); err != nil {
				t.Errorf("Resign: %v", err)
			}
			if k := keys(t, c, t.Name()); len(k) != 0 {
				t.Errorf("resigned, and there are %v", k)
			}
			if err := e.Campaign(ctx, "anew"); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%s/%x", t.Name(), s.Lease()); e.Key() != want {
				t.Errorf("it campaigns with key %q, want %q", e.Key(), want)
			}
		})
	}
}

// A Campaign whose key was deleted or revoked fails, even if the leader's key goes at the same
// time.
func TestCandidateLosesItsKey(t *testing.T) {
	c := clienttest.Shared(t)
	for _, tc := range []struct {
		name string
		do   func(s *concurrency.Session, key string) error
		want error
	}{
		{"revoked", func(s *concurrency.Session, _ string) error {
			_, err := c.Revoke(context.Background(), s.Lease())
			return err
		}, concurrency.ErrSessionExpired},
		{"deleted", func(_ *concurrency.Session, key string) error {
			_, err := c.Delete(context.Background(), key)
			return err
		}, concurrency.ErrOwnershipLost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			leader := concurrency.NewElection(session(t, c), t.Name())
			if err := leader.Campaign(clienttest.Within(t, clienttest.Long), "leader"); err != nil {
				t.Fatal(err)
			}
			s := session(t, c)
			done := make(chan error, 1)
			go func() {
				done <- concurrency.NewElection(s, t.Name()).Campaign(clienttest.Within(t, clienttest.Long),
					"candidate")
			}()
			key := fmt.Sprintf("%s/%x", t.Name(), s.Lease())
			clienttest.Await(t, "it is a candidate", func() bool { return slices.Contains(keys(t, c, t.Name()), key) })
			// The leader resigns at the same time, so that the candidate may see that first.
			lost := make(chan error, 1)
			go func() { lost <- tc.do(s, key) }()
			if err := <-lost; err != nil {
				t.Fatal(err)
			}
			if err := leader.Resign(clienttest.Within(t, clienttest.Long)); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != tc.want {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

func TestFrozenElection(t *testing.T) {
	m, s, freeze := frozen(t)
	led := concurrency.NewElection(s, "led")
	if err := led.Campaign(clienttest.Within(t, clienttest.Long), "v"); err != nil {
		t.Fatal(err)
	}
	freeze()
	free := concurrency.NewElection(s, "free")
	returns(t, "Campaign", func(ctx context.Context) error { return free.Campaign(ctx, "v") })
	returns(t, "Campaign again", func(ctx context.Context) error { return led.Campaign(ctx, "w") })
	returns(t, "Proclaim", func(ctx context.Context) error { return led.Proclaim(ctx, "w") })
	returns(t, "Leader", func(ctx context.Context) error { _, err := led.Leader(ctx); return err })
	returns(t, "Resign", led.Resign)
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "nobody is left", func() bool {
		return len(keys(t, s.Client(), "free")) == 0 && len(keys(t, s.Client(), "led")) == 0
	})
}

// When a leader dies, the next candidate leads after the TTL of the leader's session.
func TestNextCandidateLeadsATTLAfterALeaderDied(t *testing.T) {
	c := clienttest.Shared(t)
	other := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	dying := session(t, other, concurrency.WithTTL(2))
	err := concurrency.NewElection(dying, t.Name()).Campaign(clienttest.Within(t, clienttest.Long), "first")
	if err != nil {
		t.Fatal(err)
	}
	next := concurrency.NewElection(session(t, c), t.Name())
	done := make(chan error, 1)
	go func() { done <- next.Campaign(clienttest.Within(t, clienttest.Long), "second") }()
	clienttest.Await(t, "it is a candidate", func() bool { return len(keys(t, c, t.Name())) == 2 })
	began := time.Now()
	dying.Orphan() // as a process that dies
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("taken over after %v, with a TTL of 2 s", time.Since(began))
}

// Observe shows all leaders, also after a compaction. ObserveState also shows that there is none.
func TestObserve(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Members()[0].Direct)
	watching := clienttest.Dial(t, cluster.Endpoints()...) // over a network that can fail
	s := session(t, c)
	e := concurrency.NewElection(s, "e")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	observer := concurrency.NewElection(session(t, watching, concurrency.WithTTL(60)), "e")
	leaders, states := observer.Observe(ctx), observer.ObserveState(ctx)
	if l := clienttest.Receive(t, "no leader", states); l.Leader != nil || l.Err != nil || l.Revision == 0 {
		t.Errorf("%+v", l)
	}
	expect := func(value string) {
		t.Helper()
		r := clienttest.Receive(t, value, leaders)
		if len(r.Kvs) != 1 || string(r.Kvs[0].Value) != value || r.Header.Revision == 0 {
			t.Fatalf("%v, want %q", r, value)
		}
	}
	lead := func(value string, f func(context.Context, string) error) {
		t.Helper()
		if err := f(clienttest.Within(t, clienttest.Long), value); err != nil {
			t.Fatal(err)
		}
	}
	lead("one", e.Campaign)
	expect("one")
	lead("two", e.Proclaim)
	lead("three", e.Proclaim)
	expect("two")
	expect("three")
	for value := ""; value != "three"; { // earlier values may be skipped
		l := clienttest.Receive(t, "the latest", states)
		if l.Leader == nil {
			t.Fatalf("%+v", l)
		}
		value = string(l.Leader.Kvs[0].Value)
	}
	// While the observer is cut off, history is compacted.
	cluster.Members()[0].Proxy().Cut()
	lead("unseen", e.Proclaim)
	if err := e.Resign(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	lead("four", e.Campaign)
	r, err := c.Get(clienttest.Within(t, clienttest.Long), "e")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Compact(clienttest.Within(t, clienttest.Long), r.Header.Revision, clientv3.WithCompactPhysical())
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Members()[0].Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	expect("four")
	for {
		l := clienttest.Receive(t, "four", states)
		if l.Leader != nil && string(l.Leader.Kvs[0].Value) == "four" {
			break
		}
		if l.Leader != nil {
			t.Fatalf("%+v", l)
		}
	}
	if err := e.Resign(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	if l := clienttest.Receive(t, "nobody", states); l.Leader != nil || l.Err != nil {
		t.Errorf("%+v", l)
	}
	cancel()
	for range leaders {
	}
	for range states {
	}
}
