package reach

import (
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// An etcd comes back with another monotonic clock, as after a reboot of the machine: weeks ahead,
// behind, and the first one again. Records keep their lease, views lose no instance, a lock keeps
// its owner, and no lease lives longer than its TTL.
//
// The clock is that of a time namespace (unshare of Debian's util-linux). It cannot be changed for
// a running process, and libfaketime does not help, since Go programs ask the kernel directly.
func TestEtcdWithAnotherClock(t *testing.T) {
	const ttl = 10
	cluster := etcdtest.Start(t, etcdtest.Options{})
	renewed := make(chan struct{}, 1024)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: cluster.Endpoints(),
		Hooks: clientv3.Hooks{Lease: func(l clientv3.LeaseInfo) {
			if l.Event == clientv3.LeaseRenewed {
				renewed <- struct{}{}
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := clienttest.Within(t, 8*clienttest.Long)
	registrar := discovery.NewRegistrar(client, discovery.WithTTL(ttl))
	defer registrar.Close()
	one := discovery.Instance{Service: "s", ID: "one", Addresses: []string{"h:1"}}
	if _, err := registrar.Register(ctx, one); err != nil {
		t.Fatal(err)
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(ttl))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, "lock")
	if err := mutex.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	directory := discovery.NewDirectory(client, discovery.WithLog(nil))
	defer directory.Close()
	sub, err := directory.Subscribe("s")
	if err != nil {
		t.Fatal(err)
	}
	if change, err := sub.Next(ctx); err != nil || change.View.Len() != 1 {
		t.Fatalf("%+v, %v", change, err)
	}
	leases := []clientv3.LeaseID{registrar.Lease(), session.Lease()}

	for _, offset := range []int{2_000_000, -30, 0} { // seconds
		err := cluster.Members()[0].RestartUnder("unshare", "-r", "-T", "--monotonic", fmt.Sprint(offset))
		if err != nil {
			t.Fatal(err)
		}
		if err := cluster.Members()[0].WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		for range 4 * len(leases) { // more than a TTL by either clock
			clienttest.Receive(t, "a renewal", renewed)
			for _, id := range leases {
				left, err := client.TimeToLive(ctx, id)
				if err != nil || left.TTL < 1 || left.TTL > ttl {
					t.Fatalf("clock %+d s: lease %x: %+v, %v", offset, id, left, err)
				}
			}
		}
		if v := sub.View(); v.Len() != 1 {
			t.Errorf("clock %+d s: the view has %d", offset, v.Len())
		}
		select {
		case <-session.Done():
			t.Errorf("clock %+d s: the lock is lost", offset)
		default:
		}
	}
	if now := registrar.Lease(); now != leases[0] {
		t.Errorf("the record has lease %x, had %x", now, leases[0])
	}
	if err := mutex.Unlock(ctx); err != nil {
		t.Error(err)
	}
}
