package xds_test

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// gRPC's own client finds instances, gives each its weight, and follows as instances come, go,
// drain and are split.
func TestGRPC(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	p := serve(t, client, "127.0.0.1:0")
	a, _ := running(t, client, discovery.Instance{Service: "orders", ID: "a", Version: "v1", Zone: "east", Weight: 10})
	running(t, client, discovery.Instance{Service: "orders", ID: "b", Version: "v1", Zone: "west", Weight: 10})
	register(
		t,
		client,
		discovery.Instance{Service: "orders", ID: "named", Addresses: []string{"orders.example.com:80"}, Weight: 1000},
	)
	conn := dial(t, p.at, "orders")
	clienttest.Await(t, "both answer", only(t, conn, "a", "b"))
	running(t, client, discovery.Instance{Service: "orders", ID: "c", Version: "v2", Zone: "east", Weight: 20})
	clienttest.Await(t, "three answer", only(t, conn, "a", "b", "c"))

	// A quarter, a quarter and a half, within five standard deviations of the half.
	const n = 1000
	for id, got := range shares(t, conn, n) {
		want := map[string]float64{"a": n / 4, "b": n / 4, "c": n / 2}[id]
		if math.Abs(float64(got)-want) > 5*math.Sqrt(n)/2 {
			t.Errorf("%s answers %d of %d calls, not about %v", id, got, n, want)
		}
	}
	control(t, client, "orders", func(c *discovery.Control) {
		c.Override("b", func(o *discovery.Override) { o.Weight = discovery.MaxWeight })
	})
	clienttest.Await(t, "b has nearly all", func() bool { return shares(t, conn, 100)["b"] >= 98 })
	control(t, client, "orders", func(c *discovery.Control) { c.Override("b", nil) })

	control(t, client, "orders", func(c *discovery.Control) { c.Split = discovery.Split{"v1": 0, "v2": 100} })
	clienttest.Await(t, "v2 alone answers", only(t, conn, "c"))
	control(t, client, "orders", func(c *discovery.Control) { c.Split = discovery.Split{"v1": 90, "v2": 10} })
	clienttest.Await(t, "the split holds", func() bool {
		part := float64(shares(t, conn, n)["c"])
		return math.Abs(part-n/10) < 5*math.Sqrt(n*0.1*0.9)
	})
	control(t, client, "orders", func(c *discovery.Control) { c.Split = discovery.Split{"v3": 50, "v2": 50} })
	clienttest.Await(t, "a part without instances goes to the others", only(t, conn, "c"))
	control(t, client, "orders", func(c *discovery.Control) { c.Split = discovery.Split{"v3": 100} })
	clienttest.Await(t, "where none of the parts works, all answer", only(t, conn, "a", "b", "c"))
	control(t, client, "orders", func(c *discovery.Control) { c.Split = nil })

	if err := discovery.Drain(within(t), client, discovery.JSON{}, "orders", "b"); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "a draining instance gets no calls", only(t, conn, "a", "c"))
	if err := a.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "an instance that has gone gets no calls", only(t, conn, "c"))
	if err := discovery.Undrain(within(t), client, discovery.JSON{}, "orders", "b"); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "an instance that has stopped draining gets calls", only(t, conn, "b", "c"))
}

// A client can ask for any name that a service may have.
func TestNamesOfServices(t *testing.T) {
	client := clienttest.Shared(t)
	p := serve(t, client, "127.0.0.1:0")
	for _, name := range []string{"/a?b#c%d", "/subset:x:y", "/é:1", "/a+b&c=d*"} {
		service := t.Name() + name
		running(t, client, discovery.Instance{Service: service, ID: "a", Version: "v:1"})
		control(t, client, service, func(c *discovery.Control) { c.Split = discovery.Split{"v:1": 60, "v2": 40} })
		t.Cleanup(func() {
			_, _ = client.Delete(
				context.Background(),
				"/fairlead/control/"+url.PathEscape(t.Name()),
				clientv3.WithPrefix(),
			)
		})
		conn := dial(t, p.at, (&url.URL{Path: service}).EscapedPath())
		clienttest.Await(t, service, only(t, conn, "a"))
	}
}

// All instances are replaced one after the other during calls, and none fails.
func TestRollingRestart(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	p := serve(
		t,
		client,
		"127.0.0.1:0",
		discovery.WithAnnounce("xds"),
		discovery.WithAnnounceAfter(500*time.Millisecond),
	)
	type one struct {
		reg  *discovery.Registration
		stop func()
	}
	begin := func(id string, weight int) one {
		reg, stop := running(t, client, discovery.Instance{Service: "orders", ID: id, Weight: weight})
		return one{reg, stop}
	}
	old := []one{begin("old-0", 10), begin("old-1", 10), begin("old-2", 30)}
	conn := dial(t, p.at, "orders")
	clienttest.Await(t, "all answer", only(t, conn, "old-0", "old-1", "old-2"))

	ctx, end := context.WithCancel(within(t))
	var calls, lost atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				var id wrapperspb.StringValue
				calls.Add(1)
				if err := conn.Invoke(context.Background(), "/test.Where/Is", &emptypb.Empty{}, &id); err != nil {
					lost.Add(1)
					t.Error(err)
				}
			}
		})
	}
	for i, was := range old {
		id := fmt.Sprintf("new-%d", i)
		begin(id, 10)
		clienttest.Await(t, id+" answers", func() bool { return shares(t, conn, 30)[id] > 0 })
		if err := was.reg.Drain(within(t), clienttest.Long); err != nil {
			t.Error(err)
		}
		was.stop()
	}
	clienttest.Await(t, "the new ones answer", only(t, conn, "new-0", "new-1", "new-2"))
	end()
	callers.Wait()
	if t.Logf("%d calls, %d lost", calls.Load(), lost.Load()); calls.Load() == 0 {
		t.Error("no call was made")
	}
}

// While the control plane is away, and while etcd is, calls go on, and afterwards changes arrive
// again. A control plane that starts while etcd is away serves what was last known from its files.
// Without files it does not report anything as gone.
func TestCallsGoOnWhileEtcdOrThePlaneIsAway(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	files := discovery.WithFiles(t.TempDir())
	p := serve(t, client, "127.0.0.1:0", files)
	running(t, client, discovery.Instance{Service: "orders", ID: "a"})
	conn := dial(t, p.at, "orders")
	clienttest.Await(t, "a answers", only(t, conn, "a"))

	p.stop()
	running(t, client, discovery.Instance{Service: "orders", ID: "b"})
	if got := shares(t, conn, 10); got["a"] != 10 {
		t.Errorf("without a control plane: %v", got)
	}
	p = serve(t, client, p.at, files)
	clienttest.Await(t, "b is found after a restart", only(t, conn, "a", "b"))

	c.Members()[0].Kill()
	if got := shares(t, conn, 10); len(got) != 2 {
		t.Errorf("without etcd: %v", got)
	}
	late := dial(t, p.at, "orders")
	clienttest.Await(t, "a client that begins without etcd has both", only(t, late, "a", "b"))

	p.stop()
	without := clienttest.Dial(t, c.Endpoints()...)
	p = serve(t, without, p.at)
	clienttest.Await(t, "the client is connected again", func() bool { return p.server.Streams() > 0 })
	// longer than a server that knows nothing keeps a client waiting
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		if got := shares(t, conn, 10); len(got) != 2 {
			t.Fatalf("with a control plane that knows nothing: %v", got)
		}
	}
	p.stop()
	p = serve(t, without, p.at, files)
	third := dial(t, p.at, "orders")
	clienttest.Await(t, "the files have both", only(t, third, "a", "b"))

	if err := c.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	running(t, client, discovery.Instance{Service: "orders", ID: "c"})
	clienttest.Await(t, "changes arrive again", only(t, conn, "a", "b", "c"))
	clienttest.Await(t, "changes arrive with all", only(t, third, "a", "b", "c"))
}

// With a limit of one call at a time, a second one fails at once, until the limit is lifted.
func TestRequestsLimited(t *testing.T) {
	client := clienttest.Shared(t)
	p := serve(t, client, "127.0.0.1:0")
	at, _ := slowBackend(t, "a", 200*time.Millisecond)
	register(t, client, discovery.Instance{Service: t.Name(), ID: "a", Addresses: []string{at}})
	t.Cleanup(func() { _, _ = client.Delete(context.Background(), "/fairlead/control/"+t.Name()) })
	conn := dial(t, p.at, t.Name())
	if _, err := where(within(t), conn); err != nil {
		t.Fatal(err)
	}
	// three at once
	failed := func() (n int) {
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 3 {
			all.Go(func() {
				err := conn.Invoke(within(t), "/test.Where/Is", &emptypb.Empty{}, new(wrapperspb.StringValue))
				mu.Lock()
				defer mu.Unlock()
				switch status.Code(err) {
				case codes.OK:
				case codes.Unavailable:
					n++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		return n
	}
	if n := failed(); n != 0 {
		t.Errorf("%d calls fail without a limit", n)
	}
	limit := func(n int) {
		control(t, client, t.Name(), func(c *discovery.Control) { c.Limits.Requests = n })
	}
	limit(1)
	clienttest.Await(t, "calls beyond the limit fail", func() bool { return failed() > 0 })
	limit(0)
	clienttest.Await(t, "none fails", func() bool { return failed() == 0 })
}

// A call to a service without instances fails and does not hang.
func TestCallWithoutInstancesFails(t *testing.T) {
	p := serve(t, clienttest.Shared(t), "127.0.0.1:0")
	conn := dial(t, p.at, t.Name())
	err := conn.Invoke(
		within(t),
		"/test.Where/Is",
		&emptypb.Empty{},
		new(wrapperspb.StringValue),
		grpc.WaitForReady(false),
	)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}
