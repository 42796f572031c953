package clientv3_test

import (
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// A member that refuses a reconfiguration, because another one is away, is itself fine, and it has
// done nothing.
func TestRefusedMemberAddIsFinal(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	leader := cl.Leader(t)
	c := dial(t, clientv3.Config{Endpoints: []string{leader.Endpoint}})
	cl.Followers(t)[0].Kill()
	ctx := ctxFor(t, long)
	if _, err := c.Get(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := c.MemberAdd(ctx, []string{"http://127.0.0.1:1"})
		if err != rpctypes.ErrUnhealthy {
			t.Fatalf("adding a member: %v", err)
		}
		if clientv3.OutcomeUnknown(err) || !clientv3.SafeToRetry(err) {
			t.Error("a refused request counts as perhaps executed")
		}
		if s := c.MemberStates()[0]; s.State != "healthy" {
			t.Errorf("the member that refused is %s: %v", s.State, s.LastErr)
		}
	}
}

// A call waits for a silent endpoint that SetEndpoints brought no longer than for one that the
// client began with, also if the endpoint before it was silent too.
func TestFailFastAfterSetEndpointsIsNotSlower(t *testing.T) {
	t.Parallel()
	c := dial(t, clientv3.Config{Endpoints: []string{silent(t)}, FailFast: true})
	put := func() time.Duration {
		began := time.Now()
		if _, err := c.Put(ctxFor(t, long), "k", "v"); clientv3.Code(err) != codes.Unavailable {
			t.Fatalf("nobody can have answered: %v", err)
		}
		return time.Since(began)
	}
	put()
	// gRPC gives up a connection after 5 s. The client waits 1 s for a first one.
	fastest := long
	for range 3 {
		c.SetEndpoints(silent(t))
		fastest = min(fastest, put())
	}
	if fastest > 3*time.Second {
		t.Errorf("after SetEndpoints it took %v", fastest)
	}
	c.SetEndpoints(refusing(t))
	put()
	if fastest = put(); fastest > soon {
		t.Errorf("refused connections took %v", fastest)
	}
}

// A connection that breaks and is made again at once fails only the calls under way on it.
func TestFailFastPutDuringReconnect(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	p := cl.Members()[0].Proxy()
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), FailFast: true, DialTimeout: long})
	works(t, c)
	p.Delay(50*time.Millisecond, faultnet.Both) // a reconnect takes some round trips
	for range 3 {
		// A connection that breaks again and again is another matter than an ordinary reconnect.
		await(
			t,
			"the connection has held for a while",
			func() bool { return time.Since(c.MemberStates()[0].Since) > 1500*time.Millisecond },
		)
		held := c.MemberStates()[0].Since
		p.Reset()
		// It may be connected again when we look.
		await(
			t,
			"the client knows that its connection is lost",
			func() bool { return !c.MemberStates()[0].Since.Equal(held) },
		)
		if _, err := c.Put(ctxFor(t, long), "k", "v"); err != nil {
			t.Errorf("during a reconnect: %v", err)
		}
	}
	p.Cut()
	await(t, "a refused connection makes the call fail", func() bool {
		_, err := c.Put(ctxFor(t, long), "k", "v")
		return err != nil
	})
}

// However many endpoints are called at once, none loses its connection to another. When the calls
// are over, only some of the connections are kept.
func TestStatusOfManyForeignEndpointsAtOnce(t *testing.T) {
	etcdtest.CheckLeaks(t)
	server := etcdtest.Shared(t).Endpoints()[0]
	const foreign = 60
	var proxies []*faultnet.Proxy
	for range foreign {
		p, err := faultnet.New(server)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		p.Delay(100*time.Millisecond, faultnet.ToClient) // so that all are under way at the same time
		proxies = append(proxies, p)
	}
	c := dial(t, clientv3.Config{Endpoints: []string{server}})
	var wg sync.WaitGroup
	for _, p := range proxies {
		for range 2 {
			wg.Go(func() {
				if _, err := c.Status(ctxFor(t, long), p.Addr()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for _, p := range proxies {
		if n := p.Stats().Accepted; n != 1 {
			t.Errorf("%d connections to one endpoint", n)
		}
	}
	await(t, "connections that nobody needs are closed", func() bool {
		open := 0
		for _, p := range proxies {
			open += p.Stats().Open
		}
		return open == 32
	})
}
