package clientv3_test

import (
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// wantValue takes the next event, which must be the put of a value, and no other with it.
func wantValue(t *testing.T, ch clientv3.WatchChan, value string) {
	t.Helper()
	r := next(t, ch)
	if r.Err() != nil || len(r.Events) != 1 || string(r.Events[0].Kv.Value) != value {
		t.Fatalf("got %+v, %v, want one put of %q", r, r.Err(), value)
	}
}

// A watch that does not require a leader gets the events that the only member has, although that
// one has no leader. Nothing comes twice when the other members are back.
func TestWatchHistoryWithoutQuorum(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	ctx := ctxFor(t, 3*long)
	alone := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[:1]})
	if _, err := alone.Put(ctx, "k", "1"); err != nil {
		t.Fatal(err)
	}
	for _, m := range cl.Members()[1:] {
		m.Kill()
	}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	strict := c.Watch(clientv3.WithRequireLeader(ctx), "k", clientv3.WithRev(1))
	for r := range strict {
		// The member may serve the watch until it misses its leader.
		if r.Canceled && r.Err() != rpctypes.ErrNoLeader {
			t.Errorf("a watch that requires a leader ended with %v", r.Err())
		}
	}
	history := c.Watch(ctx, "k", clientv3.WithRev(1))
	wantValue(t, history, "1")
	began := time.Now()
	r := next(t, c.Watch(clientv3.WithRequireLeader(ctx), "k", clientv3.WithRev(1)))
	if took := time.Since(began); r.Err() != rpctypes.ErrNoLeader || took > long/2 {
		t.Errorf("a watch that requires a leader beside it: %+v after %v", r, took)
	}
	for _, m := range cl.Members()[1:] {
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Put(ctx, "k", "2"); err != nil {
		t.Fatal(err)
	}
	wantValue(t, history, "2")
}

// A watch on a member that is cut off from the others moves as soon as one of them can be
// reached.
func TestWatchLeavesMemberThatIsCutOff(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true, PeerProxied: true})
	ctx := ctxFor(t, 3*long)
	all := cl.Members()
	alone := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[:1]})
	if _, err := alone.Put(ctx, "k", "1"); err != nil {
		t.Fatal(err)
	}
	if err := all[0].PartitionFromPeers(); err != nil {
		t.Fatal(err)
	}
	for _, m := range all[1:] {
		m.Proxy().Refuse()
	}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	for r := range c.Watch(clientv3.WithRequireLeader(ctx), "k") {
		if r.Canceled && r.Err() != rpctypes.ErrNoLeader {
			t.Errorf("a watch that requires a leader ended with %v", r.Err())
		}
	}
	history := c.Watch(ctx, "k", clientv3.WithRev(1))
	wantValue(t, history, "1")
	for _, m := range all[1:] {
		if err := m.Proxy().Heal(); err != nil {
			t.Fatal(err)
		}
	}
	others := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[1:]})
	if _, err := others.Put(ctx, "k", "2"); err != nil {
		t.Fatal(err)
	}
	wantValue(t, history, "2")
}
