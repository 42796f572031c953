package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// limited is a cluster whose user "app" may read and write the keys under prefix, and clients
// of the user and of root.
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
	_, err := c.RoleGrantPermission(ctx, "app", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite))
	return err
}

// What a user may not register is told at once and keeps nobody else from registering. What
// was registered and is forbidden later comes back when it is allowed again.
func TestRefused(t *testing.T) {
	f := discovery.JSON{Base: t.Name() + "/"}
	mine := f.Prefix(t.Name())
	endpoints, app, root := limited(t, mine)
	var told events
	r := registrar(t, app, discovery.WithEvents(told.add))
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
	if err := g.Update(within(t), func(in *discovery.Instance) { in.Version = "v2" }); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("Update: %v", err)
	}
	if err := allow(within(t), root, mine); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "it is as wanted", func() bool { return strings.Contains(value(t, root, g.Key()), `"v2"`) })
	if _, err := root.Delete(within(t), g.Key()); err != nil {
		t.Fatal(err)
	}
	told.await(t, discovery.Restored, 1)
	// Without a user there is not even a lease.
	_, err := registrar(t, clienttest.Dial(t, endpoints...)).Register(within(t), orders(t, "b"))
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a user: %v", err)
	}
}

// Of concurrent updates all are done, an operator's among them.
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
	wg.Go(func() {
		if err := discovery.Drain(within(t), c, base(t), t.Name(), "a"); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	clienttest.Await(t, "an operator's change is taken over", func() bool { in := g.Instance(); return in.IsDraining() })
	if in := g.Instance(); len(in.Metadata) != n {
		t.Errorf("%d of %d updates: %v", len(in.Metadata), n, in.Metadata)
	}
	clienttest.Await(t, "the record says so", func() bool {
		in, err := base(t).Unmarshal(t.Name(), g.Key(), []byte(value(t, c, g.Key())))
		return err == nil && in.IsDraining() && len(in.Metadata) == n
	})
}

// An operator is told what cannot be done, and may clear away what makes no sense.
func TestOperatorAndOtherRecords(t *testing.T) {
	c := clienttest.Shared(t)
	raw := discovery.Raw{Base: t.Name() + "/"}
	g := register(t, registrar(t, c, discovery.WithFormat(raw)), orders(t, "a"))
	if err := discovery.Drain(within(t), c, raw, t.Name(), "a"); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("a raw record was drained: %v", err)
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
