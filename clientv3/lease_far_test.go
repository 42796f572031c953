package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// far returns endpoints of a cluster over links with that round trip.
func far(t *testing.T, cl *etcdtest.Cluster, roundTrip time.Duration) (endpoints []string) {
	t.Helper()
	for _, e := range cl.Endpoints() {
		p, err := faultnet.New(e)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		p.Delay(roundTrip / 2)
		endpoints = append(endpoints, p.Addr())
	}
	return endpoints
}

// TestLeaseOverLongLink: a long round trip is no reason to give up a lease, even if another client
// has granted it. A lease that this client keeps is alive on the server.
func TestLeaseOverLongLink(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	near := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	for _, link := range []struct{ ttl, roundTrip time.Duration }{
		{2 * time.Second, 500 * time.Millisecond},
		{5 * time.Second, 1200 * time.Millisecond},
		{10 * time.Second, 2 * time.Second},
	} {
		for _, granted := range []string{"here", "elsewhere"} {
			t.Run(fmt.Sprintf("TTL %v, %v, granted %s", link.ttl, link.roundTrip, granted), func(t *testing.T) {
				t.Parallel()
				ctx := ctxFor(t, 2*long)
				c := dial(t, clientv3.Config{Endpoints: far(t, cl, link.roundTrip)})
				if _, err := c.Get(ctx, "k"); err != nil { // so that the connection is made
					t.Fatal(err)
				}
				grants := c
				if granted == "elsewhere" {
					grants = near
				}
				g, err := grants.Grant(ctx, int64(link.ttl.Seconds()))
				if err != nil {
					t.Fatal(err)
				}
				ch, err := c.KeepAlive(ctx, g.ID)
				if err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(5 * link.ttl / 2); time.Now().Before(end); {
					wait := time.NewTimer(link.ttl)
					select {
					case _, ok := <-ch:
						if !ok {
							t.Fatal("the lease was lost")
						}
					case <-wait.C:
						t.Fatal("no renewal within the TTL")
					}
					wait.Stop()
				}
				r, err := near.TimeToLive(ctx, g.ID)
				if err != nil || r.TTL <= 0 {
					t.Fatalf("the server says %+v, %v", r, err)
				}
			})
		}
	}
}

// TestKeepAliveOnceOverLongLink: the request is sent to a second member while the first one is
// slow. The first answer counts, however late it is.
func TestKeepAliveOnceOverLongLink(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	near := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, long)
	g, err := near.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	const roundTrip = 2400 * time.Millisecond
	c := dial(t, clientv3.Config{Endpoints: far(t, cl, roundTrip)})
	if _, err := c.Get(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	timers := clienttest.Lateness(t)
	began := time.Now()
	if r, err := c.KeepAliveOnce(ctx, g.ID); err != nil || r.TTL != 60 {
		t.Fatalf("%+v, %v", r, err)
	}
	if took, late := time.Since(began), timers.Sum(); took-late > roundTrip+time.Second {
		t.Errorf("it took %v over a link of %v; timers were late by %v", took, roundTrip, late)
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	timers = clienttest.Lateness(t)
	began = time.Now()
	if _, err := c.KeepAliveOnce(short, g.ID); err != context.DeadlineExceeded {
		t.Errorf("with a short deadline: %v", err)
	}
	if took, late := time.Since(began), timers.Sum(); took-late > 400*time.Millisecond {
		t.Errorf("with a deadline of 300 ms it returned after %v; timers were late by %v", took, late)
	}
}

// TestGrantThatWaited: the time of a lease counts from when its grant was sent, not from when the
// call began. Here the call first waits for a member, and that costs the lease no time.
func TestGrantThatWaited(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	p := cl.Members()[0].Proxy()
	var lost atomic.Bool
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: clientv3.Hooks{Lease: func(l clientv3.LeaseInfo) {
		if l.Event == clientv3.LeaseLost {
			lost.Store(true)
		}
	}}})
	ctx := ctxFor(t, 2*long)
	p.Cut()
	await(t, "the member is gone", func() bool { return !healthy(c) })
	const ttl = 2 * time.Second
	heal := time.AfterFunc(2*ttl, func() {
		if err := p.Heal(); err != nil {
			t.Error(err)
		}
	})
	defer heal.Stop()
	g, err := c.Grant(ctx, int64(ttl.Seconds()))
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if clienttest.Receive(t, "a renewal", ch) == nil {
			t.Fatal("the channel was closed")
		}
	}
	if lost.Load() {
		t.Error("the lease was said to be lost")
	}
}

// TestGrantWhoseAnswerIsLostForLong: the lease is in its last second when the grant is repeated.
// The caller gets one all the same.
func TestGrantWhoseAnswerIsLostForLong(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	near, ctx := clienttest.Dial(t, "http://"+cl.Members()[0].Proxy().Target()), ctxFor(t, 2*long)
	p := cl.Members()[0].Proxy()
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	if _, err := c.Get(ctx, "k"); err != nil { // so that the connection is made
		t.Fatal(err)
	}
	p.BlackHole(faultnet.ToClient)
	granted := make(chan error, 1)
	go func() {
		g, err := c.Grant(ctx, 2)
		if err == nil && g.ID == clientv3.NoLease {
			err = errors.New("no lease")
		}
		granted <- err
	}()
	granting := false
	await(t, "the lease is in its last second", func() bool {
		all, err := near.Leases(ctx)
		if err != nil || len(all.Leases) == 0 {
			return err == nil && granting // that second is over
		}
		granting = true
		r, err := near.TimeToLive(ctx, all.Leases[0].ID)
		return err == nil && r.TTL == 0
	})
	p.Reset()
	clienttest.OK(t, "heal", p.Heal())
	clienttest.OK(t, "the grant", clienttest.Receive(t, "its answer", granted))
}
