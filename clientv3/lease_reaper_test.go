package clientv3_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestLostLeasesAreRevokedAfterAnOutage: after a restart etcd gives every lease its whole time
// again. The client soon revokes those that it reported lost, even if etcd is far away. One that
// its holder renews once more is not revoked.
func TestLostLeasesAreRevokedAfterAnOutage(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
	ctx := ctxFor(t, 3*long)
	const leases, ttl, roundTrip = 100, 8, 100 * time.Millisecond
	var ids []clientv3.LeaseID
	var chs []<-chan *clientv3.LeaseKeepAliveResponse
	for i := range leases {
		g, err := c.Grant(ctx, ttl)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Put(ctx, fmt.Sprintf("lost/%d", i), "v", clientv3.WithLease(g.ID)); err != nil {
			t.Fatal(err)
		}
		ch, err := c.KeepAlive(ctx, g.ID)
		if err != nil {
			t.Fatal(err)
		}
		ids, chs = append(ids, g.ID), append(chs, ch)
	}
	m.Kill()
	for _, ch := range chs {
		ends(t, ch)
	}
	m.Proxy().Delay(roundTrip / 2)
	kept := make(chan error, 1)
	go func() {
		for { // it fails while the server is away
			_, err := c.KeepAliveOnce(ctx, ids[0])
			if err == nil || ctx.Err() != nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
				kept <- err
				return
			}
		}
	}()
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	if err := <-kept; err != nil {
		t.Fatalf("the lease that is renewed once more: %v", err)
	}
	await(t, "the end of the lost leases", func() bool {
		r, err := direct.Get(ctx, "lost/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Kvs) <= 1
	})
	took := time.Since(back)
	t.Logf("revoked %v after etcd was ready", took)
	if took > ttl*time.Second/2 { // one by one takes 10 s, and they expire before
		t.Errorf("%d leases were gone %v after etcd was ready", leases-1, took)
	}
	if r, err := direct.Get(ctx, "lost/0"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("the key of the lease that was renewed once more: %v, %v", r, err)
	}
}
