package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// override sets an override, and removes the service's control record when the test ends.
func override(t *testing.T, c *clientv3.Client, id string, change func(*discovery.Override)) {
	t.Helper()
	if err := setOverride(within(t), c, t.Name(), id, change); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = setOverride(
			context.Background(),
			c,
			t.Name(),
			id,
			func(o *discovery.Override) { *o = discovery.Override{} },
		)
	})
}

func setOverride(ctx context.Context, c *clientv3.Client, service, id string, change func(*discovery.Override)) error {
	return discovery.ChangeControl(ctx, c, service, func(ctl *discovery.Control) error {
		ctl.Override(id, change)
		return nil
	})
}

// follow is a subscription to the test's service.
func follow(
	t *testing.T,
	c *clientv3.Client,
	f discovery.Format,
	opts ...discovery.DirectoryOption,
) *discovery.Subscription {
	t.Helper()
	d := discovery.NewDirectory(
		c,
		append([]discovery.DirectoryOption{discovery.WithFormat(f), discovery.WithLog(nil)}, opts...)...)
	t.Cleanup(func() { d.Close() })
	sub, err := d.Subscribe(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// shows waits until an instance is shown with a weight and state.
func shows(t *testing.T, sub *discovery.Subscription, id string, weight int, draining bool) {
	t.Helper()
	clienttest.Await(t, fmt.Sprintf("%s with weight %d, draining %v", id, weight, draining), func() bool {
		v := sub.View()
		if v == nil {
			return false
		}
		in := v.Get(id)
		return in != nil && in.EffectiveWeight() == weight && in.IsDraining() == draining
	})
}

// An override holds until the operator removes it, also if the instance changes, is restarted, or
// comes later. The instance's own record does not change.
func TestOverride(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	g := register(t, r, orders(t, "a"))
	register(t, r, orders(t, "b"))
	sub := follow(t, c, base(t))
	shows(t, sub, "a", 5, false)
	override(t, c, "a", func(o *discovery.Override) { o.Weight = 50 })
	shows(t, sub, "a", 50, false)
	override(t, c, "a", func(o *discovery.Override) { o.Maintenance = true })
	shows(t, sub, "a", 50, true)
	if v := sub.View(); v.Draining() != 1 {
		t.Errorf("%d are draining", v.Draining())
	}
	shows(t, sub, "b", 5, false)
	if v := value(t, c, g.Key()); strings.Contains(v, "50") || strings.Contains(v, "draining") {
		t.Errorf("the record is %s", v)
	}
	if err := g.Update(within(t), func(in *discovery.Instance) { in.Weight, in.Version = 7, "v2" }); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "v2", func() bool { return sub.View().Get("a").Version == "v2" })
	shows(t, sub, "a", 50, true)
	if err := g.Close(within(t)); err != nil { // a restart
		t.Fatal(err)
	}
	clienttest.Await(t, "the end", func() bool { return sub.View().Len() == 1 })
	register(t, r, orders(t, "a"))
	shows(t, sub, "a", 50, true)
	shows(t, follow(t, c, base(t)), "a", 50, true) // a later follower
	if ctl, err := discovery.ReadControl(within(t), c, t.Name()); err != nil || len(ctl.Instances) != 1 ||
		ctl.Instances["a"] != (discovery.Override{Maintenance: true, Weight: 50}) {
		t.Errorf("%v, %v", ctl, err)
	}
	override(t, c, "a", func(o *discovery.Override) { *o = discovery.Override{} })
	shows(t, sub, "a", 5, false)
	if v := value(t, c, "/fairlead/control/"+t.Name()); v != "" {
		t.Errorf("left: %s", v)
	}
}

// An override works for records of formats that cannot express it.
func TestOverrideOtherRecords(t *testing.T) {
	c := clienttest.Shared(t)
	f := discovery.Raw{Base: t.Name() + "/raw/"}
	if _, err := c.Put(within(t), f.Base+t.Name()+"/1", "http://10.0.0.1:80"); err != nil {
		t.Fatal(err)
	}
	sub := follow(t, c, f)
	shows(t, sub, "1", discovery.DefaultWeight, false)
	override(t, c, "1", func(o *discovery.Override) { o.Maintenance = true })
	shows(t, sub, "1", discovery.DefaultWeight, true)
}

// Two operators change a record at once, and no change is lost. Parts of the record that we do not
// know stay. An invalid record is reported and not overwritten, and the last valid one stays in
// force.
func TestOverridesOfSeveral(t *testing.T) {
	c := clienttest.Shared(t)
	key := "/fairlead/control/" + t.Name()
	t.Cleanup(func() { _, _ = c.Delete(context.Background(), key) })
	if _, err := c.Put(within(t), key, `{"other":[1],"instances":{"z":{"weight":3,"later":true}}}`); err != nil {
		t.Fatal(err)
	}
	const operators, times = 4, 10
	var all sync.WaitGroup
	for range operators {
		all.Go(func() {
			for range times {
				err := setOverride(within(t), c, t.Name(), "a", func(o *discovery.Override) { o.Weight++ })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if v := value(t, c, key); !strings.Contains(v, fmt.Sprintf(`"weight":%d`, operators*times)) ||
		!strings.Contains(v, `"other":[1]`) ||
		!strings.Contains(v, `"z":{"weight":3,"later":true}`) {
		t.Errorf("the record is %s", v)
	}
	register(t, registrar(t, c), orders(t, "a"))
	problems := make(chan discovery.Problem, 10)
	sub := follow(t, c, base(t), discovery.WithProblems(func(p discovery.Problem) { problems <- p }))
	shows(t, sub, "a", operators*times, false)
	bads := []string{
		"nonsense",
		"null",
		`{"instances":{"a":{"weight":-1}}}`,
		`{"instances":[]}`,
		`{"split":{"v1":50}}`,
		`{"split":"v1"}`,
		`{"split":{"color=red":100}}`,
	}
	for _, bad := range bads {
		if _, err := c.Put(within(t), key, bad); err != nil {
			t.Fatal(err)
		}
		if p := clienttest.Receive(t, "a problem", problems); p.Key != key {
			t.Errorf("%+v", p)
		}
		if st := sub.Status(); !errors.Is(st.Control, discovery.ErrInvalid) || st.Stale {
			t.Errorf("%s: the status is %+v", bad, st)
		}
		shows(t, sub, "a", operators*times, false)
		err := setOverride(within(t), c, t.Name(), "a", func(o *discovery.Override) { o.Weight = 1 })
		if !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s was overwritten: %v", bad, err)
		}
		shows(t, follow(t, c, base(t)), "a", 5, false) // a new follower has no valid record, but has the instances
	}
	if _, err := c.Put(within(t), key, `{"instances":{"a":{"weight":8}}}`); err != nil {
		t.Fatal(err)
	}
	shows(t, sub, "a", 8, false)
	if st := sub.Status(); st.Control != nil {
		t.Errorf("the status is %+v", st)
	}
	err := setOverride(within(t), c, t.Name()+"2", "a", func(o *discovery.Override) { o.Weight = -1 })
	if !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("a negative weight: %v", err)
	}
}

// The history of the record is compacted while its watch is cut off: it is read again.
func TestOverrideCompacted(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cluster.Members()[0]
	c, direct := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Dial(t, m.Direct)
	register(t, registrar(t, direct), orders(t, "a"))
	sub := follow(t, c, base(t))
	shows(t, sub, "a", 5, false)
	m.Proxy().Refuse()
	m.Proxy().Cut()
	override(t, direct, "a", func(o *discovery.Override) { o.Weight = 50 })
	r, err := direct.Put(within(t), t.Name()+"x", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Compact(within(t), r.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	shows(t, sub, "a", 50, false)
}

// A user who may not read the record gets the instances as they are, and overrides once the user
// may read them. When the permission is revoked, the last record stays in force.
func TestControlForbidden(t *testing.T) {
	f := discovery.JSON{Base: t.Name() + "/"}
	_, app, root := limited(t, f.Prefix(t.Name()))
	register(t, registrar(t, root), orders(t, "a"))
	override(t, root, "a", func(o *discovery.Override) { o.Weight = 50 })
	sub := follow(t, app, f)
	shows(t, sub, "a", 5, false)
	if st := sub.Status(); st.Control == nil || st.Stale {
		t.Errorf("%+v", st)
	}
	control := "/fairlead/control/" + t.Name()
	if err := allow(within(t), root, control); err != nil {
		t.Fatal(err)
	}
	shows(t, sub, "a", 50, false)
	if st := sub.Status(); st.Control != nil {
		t.Errorf("%+v", st)
	}
	override(t, root, "a", func(o *discovery.Override) { o.Weight = 60 })
	shows(t, sub, "a", 60, false)
	if _, err := root.RoleRevokePermission(within(t), "app", control, clientv3.GetPrefixRangeEnd(control)); err != nil {
		t.Fatal(err)
	}
	override(t, root, "a", func(o *discovery.Override) { o.Weight = 70 })
	for w := range 3 { // the instances are still followed
		register(t, registrar(t, root), orders(t, fmt.Sprint("late", w)))
		shows(t, sub, fmt.Sprint("late", w), 5, false)
	}
	if w := sub.View().Get("a").Weight; w != 60 && w != 70 { // a watch that has begun may go on
		t.Errorf("the weight is %d", w)
	}
}
