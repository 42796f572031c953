package discovery_test

import (
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A process that is too busy to renew its lease when etcd comes back keeps its records all the
// same: its client revokes the leases that it has given up, but not those of a registrar. And
// nothing is written again.
func TestBusyProcessKeepsItsRecords(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c, other := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Dial(t, cluster.Endpoints()...)
	const ttl = 2
	var seen events
	busy := make(chan struct{})
	r := registrar(t, c, discovery.WithTTL(ttl), discovery.WithEvents(func(e discovery.Event) {
		seen.add(e)
		if e.Kind == discovery.Lost {
			<-busy
		}
	}))
	g := register(t, r, orders(t, "0"))
	record, err := c.Get(within(t), g.Key())
	if err != nil {
		t.Fatal(err)
	}
	lease, err := c.Grant(within(t), ttl)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(within(t), t.Name()+"/given up", "", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	kept, err := c.KeepAlive(within(t), lease.ID)
	if err != nil {
		t.Fatal(err)
	}
	m := cluster.Members()[0]
	m.Kill()
	seen.await(t, discovery.Lost, 1)
	for range kept { // until it is lost
	}
	restart(t, m)
	clienttest.Await(t, "the end of the lease that was given up", func() bool {
		r, err := other.Get(within(t), t.Name()+"/given up", clientv3.WithCountOnly())
		return err == nil && r.Count == 0
	})
	close(busy)
	seen.await(t, discovery.Restored, 1)
	now, err := other.Get(within(t), g.Key())
	if err != nil || len(now.Kvs) == 0 || now.Kvs[0].ModRevision != record.Kvs[0].ModRevision {
		t.Errorf("the record, of revision %d: %v, %v", record.Kvs[0].ModRevision, now, err)
	}
	if l := r.Lease(); l != clientv3.LeaseID(record.Kvs[0].Lease) {
		t.Errorf("lease %x, before %x", l, record.Kvs[0].Lease)
	}
}
