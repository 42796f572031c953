package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// limited starts a cluster whose user "app" may read and write the keys under prefix, and returns
// clients of that user and of root.
func limited(t *testing.T, prefix string) (endpoints []string, app, root *clientv3.Client) {
	t.Helper()
	endpoints = etcdtest.Start(t, etcdtest.Options{}).Endpoints()
	c := clienttest.Dial(t, endpoints...)
	ctx := within(t)
	for _, step := range []func() error{
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "root", "root"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.RoleAdd(ctx, "app"); return err },
		func() error { return allow(ctx, c, prefix) },
		func() error { _, err := c.UserAdd(ctx, "app", "app"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "app", "app"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Username: user, Password: user})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	return endpoints, as("app"), as("root")
}

func allow(ctx context.Context, c *clientv3.Client, prefix string) error {
	_, err := c.RoleGrantPermission(
		ctx,
		"app",
		prefix,
		clientv3.GetPrefixRangeEnd(prefix),
		clientv3.PermissionType(clientv3.PermReadWrite),
	)
	return err
}

// A forbidden registration fails at once and does not hinder others. A record that is forbidden
// later comes back when it is allowed again.
func TestForbiddenRegistrationFailsAtOnce(t *testing.T) {
	f := discovery.JSON{Base: t.Name() + "/"}
	mine := f.Prefix(t.Name())
	endpoints, app, root := limited(t, mine)
	var seen events
	r := registrar(t, app, discovery.WithEvents(seen.add))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			in := orders(t, fmt.Sprint(i))
			in.Service = "forbidden"
			if _, err := r.Register(within(t), in); clientv3.Code(err) != codes.PermissionDenied {
				t.Errorf("a service that is forbidden: %v", err)
			}
		})
	}
	g := register(t, r, orders(t, "a"))
	wg.Wait()
	if _, err := root.RoleRevokePermission(within(t), "app", mine, clientv3.GetPrefixRangeEnd(mine)); err != nil {
		t.Fatal(err)
	}
	if err := g.Update(within(t),
		func(in *discovery.Instance) { in.Version = "v2" }); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("Update: %v", err)
	}
	if err := allow(within(t), root, mine); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the record is updated",
		func() bool { return strings.Contains(value(t, root, g.Key()), `"v2"`) })
	if _, err := root.Delete(within(t), g.Key()); err != nil {
		t.Fatal(err)
	}
	seen.await(t, discovery.Restored, 1)
	// Without a user there is not even a lease.
	_, err := registrar(t, clienttest.Dial(t, endpoints...)).Register(within(t), orders(t, "b"))
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a user: %v", err)
	}
}

// No concurrent update is lost.
func TestConcurrentUpdates(t *testing.T) {
	c := clienttest.Shared(t)
	g := register(t, registrar(t, c), orders(t, "a"))
	const n = 30
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := g.Update(within(t), func(in *discovery.Instance) {
				if in.Metadata == nil {
					in.Metadata = make(map[string]string)
				}
				in.Metadata[fmt.Sprint(i)] = "x"
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if in := g.Instance(); len(in.Metadata) != n {
		t.Errorf("%d of %d updates: %v", len(in.Metadata), n, in.Metadata)
	}
	clienttest.Await(t, "the record says so", func() bool {
		in, err := base(t).Unmarshal(t.Name(), g.Key(), []byte(value(t, c, g.Key())))
		return err == nil && len(in.Metadata) == n
	})
}

// An operator gets an error for what cannot be done, and may remove an invalid record.
func TestOperatorAndOtherRecords(t *testing.T) {
	c := clienttest.Shared(t)
	raw := discovery.Raw{Base: t.Name() + "/"}
	g := register(t, registrar(t, c, discovery.WithFormat(raw)), orders(t, "a"))
	if err := discovery.Drain(within(t), c, raw, t.Name(), "a"); err != nil {
		t.Errorf("a raw record: %v", err)
	}
	if err := discovery.Undrain(within(t), c, raw, t.Name(), "a"); err != nil {
		t.Errorf("a raw record: %v", err)
	}
	if value(t, c, g.Key()) != "10.0.0.1:80" {
		t.Errorf("record %q", value(t, c, g.Key()))
	}
	f := base(t)
	bad := f.Key(&discovery.Instance{Service: "bad", ID: "x y"})
	if _, err := c.Put(within(t), bad, "{"); err != nil {
		t.Fatal(err)
	}
	if err := discovery.Drain(within(t), c, f, "bad", "x y"); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("nonsense was drained: %v", err)
	}
	if err := discovery.Remove(within(t), c, f, "bad", "x y"); err != nil || value(t, c, bad) != "" {
		t.Errorf("%v, record %q", err, value(t, c, bad))
	}
}

// watches counts the requests that a client sends on its watch streams.
type watches struct {
	grpc.ClientStream
	sent *atomic.Int64
}

func (w *watches) SendMsg(m any) error {
	w.sent.Add(1)
	return w.ClientStream.SendMsg(m)
}

// A user may read two prefixes and nothing between them: both are watched. A prefix that the user
// may no longer read is reported, requested every few seconds only, and works again when it is
// allowed.
func TestTwoPrefixes(t *testing.T) {
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	endpoints, _, root := limited(t, a)
	if err := allow(within(t), root, b); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	app, err := clientv3.New(
		clientv3.Config{Endpoints: endpoints, Username: "app", Password: "app", DialOptions: []grpc.DialOption{
			grpc.WithStreamInterceptor(
				func(
					ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, s grpc.Streamer,
					opts ...grpc.CallOption,
				) (grpc.ClientStream, error) {
					cs, err := s(ctx, d, cc, method, opts...)
					if err == nil && strings.HasSuffix(method, "/Watch") {
						cs = &watches{cs, &sent}
					}
					return cs, err
				},
			),
		}},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	var seen events
	r := registrar(t, app, discovery.WithEvents(seen.add))
	keys := []string{a + "1", b + "1", a + "2", b + "2"}
	for _, key := range keys {
		if _, err := r.Keep(within(t), key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range keys {
		if _, err := root.Delete(within(t), key); err != nil {
			t.Fatal(err)
		}
		seen.await(t, discovery.Restored, i+1)
	}
	if n := sent.Load(); n > 20 {
		t.Errorf("%d requests for watches", n)
	}
	// Reading one prefix is forbidden. A new key makes the registrar watch its span again.
	if _, err := root.RoleRevokePermission(within(t), "app", b, clientv3.GetPrefixRangeEnd(b)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Keep(within(t), b+"3", "x"); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("a key that is not allowed: %v", err)
	}
	seen.await(t, discovery.Refused, 2)
	before, began := sent.Load(), time.Now()
	if _, err := root.Delete(within(t), keys[0]); err != nil {
		t.Fatal(err)
	}
	seen.await(t, discovery.Restored, len(keys)+1)
	time.Sleep(time.Second) // a rate is measured
	if n := sent.Load() - before; n > int64(10*(1+time.Since(began)/(5*time.Second))) {
		t.Errorf("%d requests for watches in %v", n, time.Since(began))
	}
	if err := allow(within(t), root, b); err != nil {
		t.Fatal(err)
	}
	seen.await(t, discovery.Restored, len(keys)+3)
	if _, err := root.Delete(within(t), keys[1]); err != nil {
		t.Fatal(err)
	}
	seen.await(t, discovery.Restored, len(keys)+4)
}
