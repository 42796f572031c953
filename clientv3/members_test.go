package clientv3_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// healthyAt are the endpoints of the members that are healthy, in order.
func healthyAt(c *clientv3.Client) (list []string) {
	for _, s := range c.MemberStates() {
		if s.State == "healthy" {
			list = append(list, s.Endpoint)
		}
	}
	slices.Sort(list)
	return list
}

// TestEndpointsChangeAllTheTime: the endpoints change a thousand times a second, with
// duplicates and members that come back. One member stays, so no call fails.
func TestEndpointsChangeAllTheTime(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	works(t, c)
	watch := c.Watch(ctxFor(t, 2*long), "watched")
	var changes atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			list := []string{cl.Endpoints()[0]}
			for range rand.IntN(4) {
				list = append(list, cl.Endpoints()[rand.IntN(3)])
			}
			if rand.IntN(4) == 0 {
				list = append(list, "127.0.0.1:1")
			}
			if err := c.UpdateEndpoints(list...); err != nil {
				t.Error(err)
			}
			changes.Add(1)
		}
	})
	var during load
	during.run(c, 200, 3*time.Second)
	stop()
	wg.Wait()
	t.Logf("%d changes, %d calls", changes.Load(), during.calls.Load())
	for _, f := range during.failed {
		t.Error(f)
	}
	if _, err := c.Put(ctxFor(t, long), "watched", "v"); err != nil {
		t.Fatal(err)
	}
	next(t, watch)
	c.SetEndpoints(cl.Endpoints()...)
	await(t, "all members are used", func() bool { return len(healthyAt(c)) == 3 })
}

// stuck never finishes a handshake with one of the endpoints, even if the connection's context
// ends.
type stuck struct {
	credentials.TransportCredentials
	with    string
	release chan struct{}
}

func (s stuck) ClientHandshake(
	ctx context.Context,
	authority string,
	c net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	if c.RemoteAddr().String() == s.with {
		<-s.release
		return nil, nil, context.Canceled
	}
	return s.TransportCredentials.ClientHandshake(ctx, authority, c)
}

func (s stuck) Clone() credentials.TransportCredentials { return s }

// TestConnectionsThatAreNeverMade: for one of the endpoints the user's dialer or credentials block
// and ignore their context, or the server closes all connections. Calls go to the other endpoint. A
// client that has only the bad one honours its contexts, and Close does not wait.
func TestConnectionsThatAreNeverMade(t *testing.T) {
	t.Parallel()
	good := etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]
	closes, accepted := closer(t)
	for _, tc := range []struct {
		name string
		bad  string
		opts func(release chan struct{}, bad string) []grpc.DialOption
	}{
		{"dialer", silent(t), func(release chan struct{}, bad string) []grpc.DialOption {
			return []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				if addr == bad {
					<-release
					return nil, context.Canceled
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			})}
		}},
		{"credentials", silent(t), func(release chan struct{}, bad string) []grpc.DialOption {
			return []grpc.DialOption{grpc.WithTransportCredentials(stuck{plainCredentials(), bad, release})}
		}},
		{"server", closes, func(chan struct{}, string) []grpc.DialOption { return nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			opts := tc.opts(release, tc.bad)
			both := dial(t, clientv3.Config{Endpoints: []string{tc.bad, good}, DialOptions: opts})
			for range 20 {
				works(t, both)
			}
			lone, err := clientv3.New(clientv3.Config{Endpoints: []string{tc.bad}, DialOptions: opts})
			if err != nil {
				t.Fatal(err)
			}
			before, began := accepted.Load(), time.Now()
			_, err = lone.Get(ctxFor(t, 3*time.Second), "k")
			if took := time.Since(began); err != context.DeadlineExceeded || took > 3*time.Second+slack {
				t.Errorf("after %v: %v", took, err)
			}
			if n := accepted.Load() - before; n > 20 {
				t.Errorf("%d connections within 3 s", n)
			}
			if _, err := lone.Get(clientv3.WithFailFast(ctxFor(t, long)), "k"); err == nil {
				t.Error("a call succeeded")
			}
			began = time.Now()
			if err := lone.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > slack {
				t.Errorf("Close took %v", took)
			}
		})
	}
}

// closer is a server that accepts connections and closes them.
func closer(t *testing.T) (addr string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = new(atomic.Int64)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String(), accepted
}

// TestLargeClusters: in clusters of five and seven, all members freeze that the quorum can do
// without. Calls and a watch go on.
func TestLargeClusters(t *testing.T) {
	for _, n := range []int{5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cl := etcdtest.Start(t, etcdtest.Options{Members: n})
			c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
			works(t, c)
			watch := c.Watch(ctxFor(t, 2*long), "watched", clientv3.WithCreatedNotify())
			next(t, watch)
			for _, m := range cl.Followers(t)[:(n-1)/2] {
				if err := m.Freeze(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 50 {
				if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
					t.Fatal(err)
				}
				// The key has no other writer.
				if _, err := c.Put(clientv3.WithRepeat(ctxFor(t, long)), "watched", fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			for seen := ""; seen != "49"; {
				for _, e := range next(t, watch).Events {
					seen = string(e.Kv.Value)
				}
			}
		})
	}
}

// TestLearner: a learner among the endpoints gets no calls that it would refuse. After its
// promotion it is a member like any other.
func TestLearner(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	admin := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	works(t, admin)
	learner, err := cl.Join()
	if err != nil {
		t.Fatal(err)
	}
	var added *clientv3.MemberAddResponse
	await(t, "a learner is added", func() bool { // servers refuse it before they are all connected
		added, err = admin.MemberAddAsLearner(ctxFor(t, long), []string{learner.PeerURL})
		return err == nil
	})
	if err := learner.Restart(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, clientv3.Config{Endpoints: []string{learner.Endpoint}}) // so that calls go to it
	await(t, "the learner says what it is", func() bool {
		_, err := c.Get(ctxFor(t, 2*time.Second), "k")
		return err != nil && c.MemberStates()[0].State == "stalled"
	})
	c.SetEndpoints(cl.Endpoints()...)
	watch := c.Watch(ctxFor(t, 2*long), "watched")
	var during load
	during.run(c, 100, 2*time.Second)
	for _, f := range during.failed {
		t.Error(f)
	}
	await(t, "it is promoted", func() bool { // once it has caught up
		_, err := admin.MemberPromote(ctxFor(t, long), added.Member.ID)
		return err == nil
	})
	await(t, "it is used", func() bool { return len(healthyAt(c)) == 4 })
	if _, err := c.Put(ctxFor(t, long), "watched", "v"); err != nil {
		t.Fatal(err)
	}
	next(t, watch)
	c.SetEndpoints(learner.Endpoint)
	works(t, c)
}

// TestRollingUpgrade: under load each member in turn goes to the next version. Nothing is
// lost. (Two versions are as far apart as etcd lets members be.)
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	for _, v := range [][2]string{{"3.5", "3.6"}, {"3.6", "3.7"}} {
		t.Run(v[1], func(t *testing.T) { upgrade(t, v[0], v[1]) })
	}
}

func upgrade(t *testing.T, from, to string) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Version: from})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	works(t, c)
	g, err := c.Grant(ctxFor(t, long), 5)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := c.KeepAlive(ctxFor(t, 4*long), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	watch := c.Watch(ctxFor(t, 4*long), "counted")
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	written := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			// The only writer of its keys. A put that a stopping server has not answered is sent
			// again.
			if _, err := c.Put(clientv3.WithRepeat(ctxFor(t, long)), "counted", fmt.Sprint(written+1)); err != nil {
				t.Error(err)
				return
			}
			written++
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := c.Get(ctxFor(t, long), "counted"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for _, m := range cl.Members() {
		if err := m.Upgrade(to); err != nil {
			t.Fatal(err)
		}
		if err := m.WaitReady(ctxFor(t, long)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	wg.Wait()
	r, err := c.Get(ctxFor(t, long), "counted")
	if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != fmt.Sprint(written) {
		t.Errorf("after %d writes: %v, %v", written, r, err)
	}
	for seen := int64(0); seen < r.Kvs[0].Version; {
		for _, e := range next(t, watch).Events {
			if e.Kv.Version != seen+1 {
				t.Fatalf("version %d after %d", e.Kv.Version, seen)
			}
			seen = e.Kv.Version
		}
	}
	if ttl, err := c.TimeToLive(ctxFor(t, long), g.ID); err != nil || ttl.TTL <= 0 {
		t.Errorf("the lease is lost: %v, %v", ttl, err)
	}
	for len(kept) > 0 {
		if a := <-kept; a == nil {
			t.Error("the lease was reported lost")
			break
		}
	}
}

// Endpoints that change all the time, among members that are all well, cost no lease and no event,
// and streams do not move all the time.
func TestLeaseWhileEndpointsChange(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	r := &recorder{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: r.hooks()})
	writer := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 3*long)
	_, renewals := keptLease(t, ctx, c, 3)
	events := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	next(t, events)

	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for pace := time.NewTicker(time.Millisecond); ; {
			select {
			case <-stop:
				pace.Stop()
				c.SetEndpoints(cl.Endpoints()...)
				return
			case <-pace.C:
				list := append(cl.Endpoints(), cl.Endpoints()...)
				rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				c.SetEndpoints(list[:1+rand.IntN(4)]...)
			}
		}
	}()
	for renewed, end := 0, time.Now().Add(4*time.Second); renewed < 4 || time.Now().Before(end); renewed++ {
		if _, ok := <-renewals; !ok {
			t.Fatal("the lease is lost")
		}
		v := fmt.Sprint(renewed)
		if _, err := writer.Put(ctx, "k", v); err != nil {
			t.Fatal(err)
		}
		if w := next(t, events); w.Err() != nil || len(w.Events) != 1 || string(w.Events[0].Kv.Value) != v {
			t.Fatalf("the watch has %+v, %v; want %s", w.Events, w.Err(), v)
		}
	}
	close(stop)
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	opened := 0
	for _, s := range r.streams {
		if !s.Ended {
			opened++
		}
	}
	if opened > 20 {
		t.Errorf("%d streams were opened", opened)
	}
}
