package discovery_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestThawedLeader: one leader after the other stands still for longer than the TTL. When it goes
// on, it revokes the leases of living instances. No view loses an instance by that. One that has
// ended does go.
func TestThawedLeader(t *testing.T) {
	for _, version := range []string{"3.5", "3.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			thaw(t, etcdtest.Start(t, etcdtest.Options{Members: 3, Version: version}))
		})
	}
}

func thaw(t *testing.T, cluster *etcdtest.Cluster) {
	const instances, ttl, rounds = 20, 3, 3
	c := clienttest.Dial(t, cluster.Endpoints()...)
	var all []*discovery.Registrar
	for i := range instances {
		r := registrar(t, c, discovery.WithTTL(ttl))
		register(t, r, orders(t, fmt.Sprint(i)))
		all = append(all, r)
	}
	s := subscribe(t, directory(t, clienttest.Dial(t, cluster.Endpoints()...), discovery.WithLog(nil)))
	clienttest.Await(t, "all instances", func() bool { v := s.View(); return v != nil && v.Len() == instances })
	leases := func() (ids []clientv3.LeaseID) {
		for _, r := range all {
			ids = append(ids, r.Lease())
		}
		return ids
	}
	first := leases()

	ctx, stop := context.WithCancel(t.Context())
	followed := make(chan error, 1)
	go func() {
		for {
			change, err := s.Next(ctx)
			if err != nil || len(change.Removed) > 0 {
				followed <- fmt.Errorf("%v, view of %d", err, s.View().Len())
				return
			}
		}
	}()
	for range rounds {
		leader := cluster.Leader(t)
		clienttest.OK(t, "Freeze", leader.Freeze())
		t.Cleanup(func() { leader.Thaw() })
		frozen := time.NewTimer(2 * ttl * time.Second) // it stands still for this long
		select {
		case <-frozen.C:
		case why := <-followed:
			t.Fatal("while a leader stood still: ", why)
		}
		clienttest.OK(t, "Thaw", leader.Thaw())
		clienttest.Await(t, "the end of the old leader", func() bool {
			st, err := c.Status(within(t), leader.Endpoint)
			return err == nil && st.Leader != 0 && st.Leader != st.Header.MemberId
		})
		clienttest.Await(t, "all records", func() bool {
			r, err := c.Get(within(t), base(t).Base, clientv3.WithPrefix(), clientv3.WithCountOnly())
			return err == nil && r.Count == instances
		})
	}
	lost := 0
	for i, id := range leases() {
		if id != first[i] {
			lost++
		}
	}
	t.Logf("%d of %d leases were revoked", lost, instances)
	select {
	case why := <-followed:
		t.Fatal("after a leader stood still: ", why)
	default:
	}
	stop()
	<-followed

	clienttest.OK(t, "Close", all[0].Close())
	began := time.Now()
	clienttest.Await(t, "the end of one", func() bool { return s.View().Len() == instances-1 })
	t.Logf("gone after %v", time.Since(began))
}

// TestVanishedBeforeAnElection: not long after an election an instance vanishes that lives, and its
// owner cannot register it again, since etcd has lost its quorum by then. The view waits for that.
func TestVanishedBeforeAnElection(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	var direct []string
	for _, m := range cluster.Members() {
		direct = append(direct, "http://"+m.Proxy().Target())
		m.Proxy().Delay(100 * time.Millisecond)
	}
	c := clienttest.Dial(t, direct...)
	owner := registrar(t, clienttest.Dial(t, cluster.Endpoints()...), discovery.WithTTL(10))
	register(t, owner, orders(t, "1"))
	s := subscribe(t, directory(t, clienttest.Dial(t, direct...), discovery.WithLog(nil)))
	shows := func(n int) func() bool {
		return func() bool { v := s.View(); return v != nil && v.Len() == n }
	}
	clienttest.Await(t, "the instance", shows(1))

	leader := cluster.Leader(t)
	var others []*etcdtest.Member
	for _, m := range cluster.Members() {
		if m != leader {
			others = append(others, m)
		}
	}
	st, err := c.Status(within(t), "http://"+others[0].Proxy().Target())
	clienttest.OK(t, "Status", err)
	_, err = c.MoveLeader(within(t), st.Header.MemberId)
	clienttest.OK(t, "MoveLeader", err)
	register(t, registrar(t, c, discovery.WithTTL(10)), orders(t, "2"))
	clienttest.Await(t, "the election, and another instance", shows(2))

	_, err = c.Revoke(within(t), owner.Lease())
	clienttest.OK(t, "Revoke", err)
	for _, m := range others {
		clienttest.OK(t, "Freeze", m.Freeze())
		t.Cleanup(func() { m.Thaw() })
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second) // far longer than such instances are kept
	defer stop()
	lost := func() bool {
		change, err := s.Next(ctx)
		return err == nil && len(change.Removed) > 0
	}
	for ctx.Err() == nil {
		if lost() {
			t.Fatal("the instance went while nobody could register it")
		}
	}
	for _, m := range others {
		clienttest.OK(t, "Thaw", m.Thaw())
	}
	ctx, stop = context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	for ctx.Err() == nil {
		if lost() {
			t.Fatal("the instance went when it could be registered again")
		}
	}
	if n := s.View().Len(); n != 2 {
		t.Errorf("a view of %d", n)
	}
}
