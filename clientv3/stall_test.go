package clientv3_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestStallShorterThanTheDeadline: a member stands still, goes on, and answers what was sent to it:
// no call fails. If it led, the servers may lose proposals of that time and answer only after 7 s,
// also to the official client. Our client cuts off no call, and soon holds back further writes.
func TestStallShorterThanTheDeadline(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	for _, leader := range []bool{false, true} {
		for _, stall := range []time.Duration{1500 * time.Millisecond, 3 * time.Second} {
			var warm, during load
			warm.run(c, 100, time.Second)
			victim := cl.Followers(t)[0]
			if leader {
				victim = cl.Leader(t)
			}
			var wg sync.WaitGroup
			wg.Go(func() { during.run(c, 100, stall+time.Second) })
			if err := victim.Freeze(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(stall) // the fault itself, not a condition to wait for
			thawed := time.Now()
			if err := victim.Thaw(); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			lost := 0
			t.Logf("leader %t, %v: %d of %d calls failed", leader, stall, len(during.failed), during.calls.Load())
			for _, f := range during.failed {
				if leader && !f.read && f.err == context.DeadlineExceeded && f.began.Before(thawed) {
					lost++
					continue
				}
				t.Errorf("leader %t, stall of %v: %v", leader, stall, f)
			}
			// At 50 writes a second this is a quarter of a second, ten times what noticing takes.
			if lost > 50/4 {
				t.Errorf("leader %t, stall of %v: %d writes were lost", leader, stall, lost)
			}
		}
	}
}

// lone starts one member behind a proxy.
func lone(t *testing.T) *etcdtest.Member {
	return etcdtest.Start(t, etcdtest.Options{Members: 1, Proxied: true}).Members()[0]
}

// TestLoneEndpointForgetsTheConnection: a load balancer drops a connection silently, and new ones
// work. The client makes one, also if the user's dialer and credentials hide the connection from
// it.
func TestLoneEndpointForgetsTheConnection(t *testing.T) {
	t.Parallel()
	own := []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}),
		grpc.WithTransportCredentials(plainCredentials()),
	}
	for name, opts := range map[string][]grpc.DialOption{"ours": nil, "own dialer and credentials": own} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := lone(t)
			c := dial(t, clientv3.Config{Endpoints: []string{m.Endpoint}, DialOptions: opts})
			works(t, c)
			watch := c.Watch(ctxFor(t, long), "k")
			if _, err := c.Put(ctxFor(t, long), "k", "before"); err != nil {
				t.Fatal(err)
			}
			next(t, watch)
			m.Proxy().Strand()
			struck := time.Now()
			wrote := make(chan error, 1)
			go func() { // it cannot be answered any more; nobody knows whether it was executed
				_, err := c.Put(ctxFor(t, long), "other", "v")
				wrote <- err
			}()
			if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Put(ctxFor(t, long), "k", "after"); err != nil {
				// It may have been sent before the silence was noticed.
				if _, err := c.Put(ctxFor(t, long), "k", "after"); err != nil {
					t.Fatal(err)
				}
			}
			goesOn := time.Since(struck)
			next(t, watch)
			err := <-wrote
			t.Logf("calls go on after %v, the write under way ended after %v: %v", goesOn, time.Since(struck), err)
			if goesOn > 2*time.Second+slack {
				t.Errorf("calls went on after %v", goesOn)
			}
			if err == nil {
				t.Error("the write under way succeeded: nothing was lost, so nothing is tested")
			}
			if took := time.Since(struck); took > 4*time.Second+slack {
				t.Errorf("the write under way ended after %v", took)
			}
		})
	}
}

// slack is how long a machine with other work may stand still.
const slack = 2 * time.Second

// TestSilentMemberLeaves: an operator removes a silent member from the endpoints. Its calls take no
// longer than if it had stayed.
func TestSilentMemberLeaves(t *testing.T) {
	t.Parallel()
	for _, stay := range []bool{true, false} {
		t.Run(fmt.Sprint("stay=", stay), func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
			silent := cl.Followers(t)[0]
			var rest []string
			for _, m := range cl.Members() {
				if m != silent {
					rest = append(rest, m.Endpoint)
				}
			}
			c := dial(t, clientv3.Config{Endpoints: []string{silent.Endpoint}})
			works(t, c)
			c.SetEndpoints(cl.Endpoints()...)
			silent.Proxy().Strand()
			struck := time.Now()
			var wg sync.WaitGroup
			for i := range 20 { // on the one that was there first, mostly
				wg.Go(func() {
					var err error
					if i%2 == 0 {
						_, err = c.Put(ctxFor(t, long), fmt.Sprint("k", i), "v")
					} else {
						_, err = c.Get(ctxFor(t, long), fmt.Sprint("k", i))
					}
					if err != nil && i%2 != 0 {
						t.Errorf("a read failed: %v", err)
					}
				})
			}
			if !stay {
				time.Sleep(500 * time.Millisecond) // an operator
				c.SetEndpoints(rest...)
			}
			wg.Wait()
			if took := time.Since(struck); took > 4*time.Second+slack {
				t.Errorf("the last call ended after %v", took)
			}
		})
	}
	t.Run("the only one", func(t *testing.T) {
		t.Parallel()
		m, other := lone(t), lone(t)
		c := dial(t, clientv3.Config{Endpoints: []string{m.Endpoint}})
		works(t, c)
		m.Proxy().Strand()
		struck := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.Put(context.Background(), "k", "v") // its outcome is unknown: it only has to end
		}()
		time.Sleep(500 * time.Millisecond) // an operator
		c.SetEndpoints(other.Endpoint)
		if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
		case <-time.After(4*time.Second + slack):
			t.Errorf("a put on the replaced endpoint still waits after %v", time.Since(struck))
		}
	})
}

// TestOwnConnectionsComeBack: with the user's own dialer and credentials, an ejected member is used
// again once the network works.
func TestOwnConnectionsComeBack(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}),
		grpc.WithTransportCredentials(plainCredentials()),
	}})
	works(t, c)
	silent := cl.Followers(t)[0]
	state := func() string {
		for _, s := range c.MemberStates() {
			if s.Endpoint == silent.Endpoint {
				return string(s.State)
			}
		}
		return ""
	}
	var during load
	var wg sync.WaitGroup
	silent.Proxy().BlackHole()
	wg.Go(func() { during.run(c, 50, 3*time.Second) })
	await(t, "the silent member is ejected", func() bool { return state() == "ejected" })
	if err := silent.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	await(t, "it is used again", func() bool { return state() == "healthy" })
	wg.Wait()
	for _, f := range during.failed {
		if f.read {
			t.Errorf("a read failed: %v", f)
		}
	}
}
