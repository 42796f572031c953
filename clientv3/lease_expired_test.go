package clientv3_test

import (
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestUntilExpiredOutlastsSilence: silence does not end the renewals, and the client does not
// revoke the lease. They end when the server says that the lease is gone.
func TestUntilExpiredOutlastsSilence(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 3*long)
	const ttl = 2
	g, err := c.Grant(ctx, ttl)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.KeepAlive(clientv3.WithUntilExpired(ctx), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	later, err := c.Grant(ctx, ttl)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := c.KeepAlive(ctx, later.ID)
	if err != nil {
		t.Fatal(err)
	}
	m.Kill()
	ends(t, plain)
	// This lease may have been renewed last: wait until it is no longer valid either.
	clienttest.Await(t, "its validity ends", func() bool {
		until, ok := clientv3.LeaseValidUntil(c, g.ID)
		return !ok || !until.After(time.Now())
	})
	for drained := false; !drained; {
		select {
		case _, ok := <-ch:
			if !ok {
				t.Fatal("the channel is closed")
			}
		default:
			drained = true
		}
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	select {
	case r, ok := <-ch:
		if !ok || r.TTL != ttl {
			t.Fatalf("after the outage: %v, %v", r, ok)
		}
	case <-ctx.Done():
		t.Fatal("it is not renewed")
	}
	other := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	if _, err := other.Revoke(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	ends(t, ch)
}
