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
