package clientv3_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// ends waits for the end of a keep-alive channel and returns how many renewals came
// before.
func ends(t testing.TB, ch <-chan *clientv3.LeaseKeepAliveResponse) (renewals int) {
	t.Helper()
	limit := time.NewTimer(long)
	defer limit.Stop()
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return renewals
			}
			renewals++
		case <-limit.C:
			t.Fatal("the renewals do not end")
		}
	}
}

// keptLease grants a lease, keeps it alive and waits for the first renewal.
func keptLease(
	t testing.TB,
	ctx context.Context,
	c *clientv3.Client,
	ttl int64,
) (clientv3.LeaseID, <-chan *clientv3.LeaseKeepAliveResponse) {
	t.Helper()
	g, err := c.Grant(ctx, ttl)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r := <-ch; r == nil {
		t.Fatal("the lease was not renewed")
	}
	return g.ID, ch
}

// After Revoke the channel has no more renewals, not even unread ones.
func TestRevokeEmptiesKeepAlive(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	g, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	read, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	unread, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r := <-read; r == nil {
		t.Fatal("the lease was not renewed")
	}
	await(t, "an answer that nobody reads", func() bool { return len(unread) > 0 })
	if _, err := c.Revoke(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	for _, ch := range []<-chan *clientv3.LeaseKeepAliveResponse{read, unread} {
		select {
		case r, more := <-ch:
			if more {
				t.Errorf("after Revoke: %+v", r)
			}
		default:
			t.Error("the channel is open after Revoke")
		}
	}
}

func TestLeaseCalls(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	g, err := c.Grant(ctx, 60)
	if err != nil || g.TTL != 60 || g.ID == clientv3.NoLease {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := c.Put(ctx, t.Name(), "v", clientv3.WithLease(g.ID)); err != nil {
		t.Fatal(err)
	}
	ttl, err := c.TimeToLive(ctx, g.ID, clientv3.WithAttachedKeys())
	if err != nil || ttl.GrantedTTL != 60 || ttl.TTL <= 0 || len(ttl.Keys) != 1 || string(ttl.Keys[0]) != t.Name() {
		t.Errorf("%+v, %v", ttl, err)
	}
	for _, ttl := range []int64{0, -5} { // the server gives its least
		if g, err := c.Grant(ctx, ttl); err != nil || g.TTL <= 0 {
			t.Errorf("TTL %d: %+v, %v", ttl, g, err)
		}
	}
	all, err := c.Leases(ctx)
	found := false
	for _, l := range all.Leases {
		found = found || l.ID == g.ID
	}
	if err != nil || !found {
		t.Errorf("%+v, %v", all, err)
	}
	once, err := c.KeepAliveOnce(ctx, g.ID)
	if err != nil || once.ID != g.ID || once.TTL != 60 {
		t.Errorf("%+v, %v", once, err)
	}
	if _, err := c.Revoke(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Get(ctx, t.Name()); err != nil || len(r.Kvs) != 0 {
		t.Errorf("the key outlived its lease: %v, %v", r, err)
	}
	if _, err := c.Revoke(ctx, g.ID); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("revoking again: %v", err)
	}
	if _, err := c.KeepAliveOnce(ctx, g.ID); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("renewing a lease that is gone: %v", err)
	}
	if r, err := c.TimeToLive(ctx, g.ID); err != nil || r.TTL != -1 {
		t.Errorf("a lease that is gone has %+v, %v", r, err)
	}
	if _, err := c.Put(ctx, t.Name(), "v", clientv3.WithLease(g.ID)); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("a key on a lease that is gone: %v", err)
	}
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	c := shared(t)
	ctx, cancel := context.WithCancel(ctxFor(t, long))
	g, err := c.Grant(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 4 {
		if r, ok := <-ch; !ok || r.ID != g.ID || r.TTL != g.TTL {
			t.Fatalf("%+v, %v", r, ok)
		}
	}
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("three more renewals of a TTL of 4 s within %v", took)
	}
	cancel()
	ends(t, ch)
	ctx = ctxFor(t, long)
	await(t, "the lease expires once nobody renews it", func() bool {
		r, err := c.TimeToLive(ctx, g.ID)
		return err == nil && r.TTL == -1
	})
}

func TestKeepAliveEnds(t *testing.T) {
	t.Parallel()
	c := shared(t)
	ctx := ctxFor(t, long)
	g, err := c.Grant(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	other := shared(t)
	theirs, err := other.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-theirs
	if _, err := c.Revoke(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	ends(t, mine)   // this client knows at once
	ends(t, theirs) // the other client learns it at its next renewal
	none, err := c.KeepAlive(ctx, 12345)
	if err != nil {
		t.Fatal(err)
	}
	if n := ends(t, none); n != 0 {
		t.Errorf("%d renewals of a lease that does not exist", n)
	}
}

// An unread channel keeps the latest answers, and nothing is logged about it.
func TestKeepAliveUnread(t *testing.T) {
	defer func(size int) { clientv3.LeaseResponseChSize = size }(clientv3.LeaseResponseChSize)
	clientv3.LeaseResponseChSize = 3
	c := shared(t)
	ctx, cancel := context.WithCancel(ctxFor(t, 2*long))
	g, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	// Each further KeepAlive renews within a second, and all channels of the lease get the answer.
	for range 2 * cap(ch) {
		once, stop := context.WithCancel(ctx)
		also, err := c.KeepAlive(once, g.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := <-also; !ok {
			t.Fatal("not renewed")
		}
		stop()
	}
	// The oldest one may just be making room for the latest.
	await(t, "the channel is full", func() bool { return len(ch) == cap(ch) })
	if r, err := c.TimeToLive(ctx, g.ID); err != nil || r.TTL <= 0 {
		t.Errorf("a lease whose channel is not read: %+v, %v", r, err)
	}
	cancel()
	if n := ends(t, ch); n != clientv3.LeaseResponseChSize {
		t.Errorf("%d answers were kept", n)
	}
}

func TestKeepAliveAfterClose(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	ctx := ctxFor(t, long)
	g, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Lease.Close(); err != nil {
		t.Fatal(err)
	}
	ends(t, ch)
	_, err = c.KeepAlive(ctx, g.ID)
	var halted clientv3.ErrKeepAliveHalted
	if !errors.As(err, &halted) || !errors.Is(err, clientv3.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestManyLeases(t *testing.T) {
	t.Parallel()
	c := shared(t)
	ctx := ctxFor(t, 2*long)
	const n = 500
	var chans []<-chan *clientv3.LeaseKeepAliveResponse
	for range n {
		g, err := c.Grant(ctx, 9)
		if err != nil {
			t.Fatal(err)
		}
		ch, err := c.KeepAlive(ctx, g.ID)
		if err != nil {
			t.Fatal(err)
		}
		chans = append(chans, ch)
	}
	for range 3 {
		for i, ch := range chans {
			if _, ok := <-ch; !ok {
				t.Fatalf("lease %d was lost", i)
			}
		}
	}
}

// Nobody answers: the holder learns of the loss before the server can have expired
// the lease.
func TestLeaseLostWhenUnrenewed(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	direct := dial(t, clientv3.Config{Endpoints: []string{cl.Members()[0].Direct}})
	ctx := ctxFor(t, 2*long)
	g, err := c.Grant(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, "owned", "v", clientv3.WithLease(g.ID)); err != nil {
		t.Fatal(err)
	}
	gone := direct.Watch(ctx, "owned")
	type ending struct {
		at   time.Time
		resp clientv3.WatchResponse
	}
	freed := make(chan ending, 1)
	go func() {
		r := <-gone
		freed <- ending{time.Now(), r}
	}()
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	cl.Members()[0].Proxy().BlackHole()
	cut := time.Now()
	ends(t, ch)
	lost := time.Now()
	if d := lost.Sub(cut); d < 2*time.Second {
		t.Errorf("reported lost after %v, long before its time", d)
	}
	free := <-freed
	if len(free.resp.Events) != 1 || free.resp.Events[0].Type != clientv3.EventTypeDelete {
		t.Fatalf("%+v, %v", free.resp, free.resp.Err())
	}
	// Two goroutines took the times, and one may have been held up.
	const heldUp = 500 * time.Millisecond
	if lost.After(free.at.Add(heldUp)) {
		t.Errorf("the key was free at %v, its holder learned it at %v", free.at, lost)
	}
}

// Without a quorum a keep-alive that requires a leader ends. One that does not goes on trying until
// the lease is lost.
func TestKeepAliveRequiresLeader(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 3*long)
	var chans []<-chan *clientv3.LeaseKeepAliveResponse
	for _, ctx := range []context.Context{clientv3.WithRequireLeader(ctx), ctx} {
		_, ch := keptLease(t, ctx, c, 60)
		chans = append(chans, ch)
	}
	cl.Members()[0].Kill()
	cl.Members()[1].Kill()
	ends(t, chans[0])
	select {
	case _, ok := <-chans[1]:
		if !ok {
			t.Error("the one that does not require a leader ended too")
		}
	default:
	}
}
