package mirror_test

import (
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// leaseOf returns the lease of a key, 0 if it has none, -1 if there is no such key.
func leaseOf(t *testing.T, c *clientv3.Client, key string) int64 {
	t.Helper()
	r, err := c.Get(clienttest.Within(t, clienttest.Long), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return -1
	}
	return r.Kvs[0].Lease
}

func grant(t *testing.T, c *clientv3.Client, ttl int64) clientv3.LeaseID {
	t.Helper()
	r, err := c.Grant(clienttest.Within(t, clienttest.Long), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// TestLeaseInItsLastSecond: a key is put while its lease has less than a second, and the lease is
// kept alive after that.
func TestLeaseInItsLastSecond(t *testing.T) {
	source := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	target := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	ctx := clienttest.Within(t, 2*clienttest.Long)
	r := start(t, source, target, mirror.WithLeases())
	r.reach(put(t, source, "first", ""))
	var id clientv3.LeaseID
	for renewed := false; !renewed; { // else it ended before all was done in its last second
		id = grant(t, source, 2)
		left := int64(2)
		clienttest.Await(t, "its last second", func() bool {
			ttl, err := source.TimeToLive(ctx, id)
			if err == nil {
				left = ttl.TTL
			}
			return left <= 0
		})
		p, err := source.Put(ctx, "k", "", clientv3.WithLease(id))
		if left < 0 || err == rpctypes.ErrLeaseNotFound {
			continue
		}
		clienttest.OK(t, "put", err)
		r.reach(p.Header.Revision)
		_, err = source.KeepAliveOnce(ctx, id)
		if renewed = err != rpctypes.ErrLeaseNotFound; renewed {
			clienttest.OK(t, "renew", err)
		}
	}
	if got := leaseOf(t, target, "k"); got != int64(id) {
		t.Errorf("lease %x, want %x", got, id)
	}
}

func TestLeases(t *testing.T) {
	source := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	target := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	const ttl = 5
	kept, moved := grant(t, source, ttl), grant(t, source, 60)
	renewals, err := source.KeepAlive(clienttest.Within(t, 4*clienttest.Long), kept)
	if err != nil {
		t.Fatal(err)
	}
	put(t, source, "kept", "", clientv3.WithLease(kept))
	put(t, source, "detached", "", clientv3.WithLease(kept))
	rev := put(t, source, "moved", "", clientv3.WithLease(kept))
	r := start(t, source, target, mirror.WithLeases())
	r.reach(rev)
	short := grant(t, source, ttl)
	put(t, source, "short", "", clientv3.WithLease(short))
	put(t, source, "moved", "", clientv3.WithLease(moved))
	r.reach(put(t, source, "detached", ""))
	for key, want := range map[string]clientv3.LeaseID{"kept": kept, "moved": moved, "short": short, "detached": 0} {
		if got := leaseOf(t, target, key); got != int64(want) {
			t.Errorf("%s: lease %x, want %x", key, got, want)
		}
	}
	ttlOf, err := target.TimeToLive(clienttest.Within(t, clienttest.Long), moved)
	if err != nil || ttlOf.GrantedTTL != 60 {
		t.Errorf("%+v, %v", ttlOf, err)
	}

	// One lease expires in the source; the other one lives on, in both clusters.
	gone := source.Watch(clienttest.Within(t, clienttest.Long), "short", clientv3.WithFilterPut())
	<-gone
	for range 3 {
		<-renewals
	}
	r.reach(put(t, source, "x", ""))
	sameWhole(t, source, target)

	// One lease is lost in the target only: its key comes back.
	back := target.Watch(clienttest.Within(t, clienttest.Long), "moved", clientv3.WithFilterDelete())
	if _, err := target.Revoke(clienttest.Within(t, clienttest.Long), moved); err != nil {
		t.Fatal(err)
	}
	if e := (<-back).Events; len(e) == 0 || e[0].Kv.Lease != int64(moved) {
		t.Errorf("%v", e)
	}

	// The mirror is down for longer than the TTL: the key expires in the target, and
	// comes back with the mirror.
	lost := target.Watch(clienttest.Within(t, clienttest.Long), "kept", clientv3.WithFilterPut())
	r.stop()
	<-lost
	r = start(t, source, target, mirror.WithLeases())
	r.reach(put(t, source, "x", "2"))
	if got := leaseOf(t, target, "kept"); got != int64(kept) {
		t.Errorf("after the restart: lease %x", got)
	}
	sameWhole(t, source, target)

	// From now on the mirror keeps no leases, so the target's keys have none.
	r.stop()
	r = start(t, source, target, mirror.WithReconcile())
	r.reach(put(t, source, "x", "3"))
	if got := leaseOf(t, target, "kept"); got != 0 {
		t.Errorf("without leases: %x", got)
	}
}
