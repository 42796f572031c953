package resolver_test

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	gresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/clientv3/naming/resolver"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func parse(t testing.TB, target string) gresolver.Target {
	t.Helper()
	u, err := url.Parse(target)
	clienttest.OK(t, "url.Parse", err)
	return gresolver.Target{URL: *u}
}

func TestTargets(t *testing.T) {
	c := clienttest.Shared(t)
	b := builder(t, c)
	if b.Scheme() != "etcd" {
		t.Errorf("scheme %q", b.Scheme())
	}
	for target, service := range map[string]string{
		"etcd:///targets": "targets", "etcd:targets": "targets", "etcd://authority/targets": "targets",
		"etcd:///targets/b/c": "targets/b/c", "etcd://host:1/targets/b": "targets/b",
		"etcd:///targets/": "targets/", "etcd:////targets": "/targets", "etcd:///targets%20b%2Fc": "targets b/c",
	} {
		s := newService(t, c, service)
		s.add("key", service+":1", nil)
		if got := resolve(t, b, target).next(t); !slices.Contains(got, service+":1") {
			t.Errorf("%s resolves to %v", target, got)
		}
		s.remove("key")
	}
	for target, says := range map[string]string{
		"etcd:///": "names no service", "etcd:": "names no service",
		"etcd://orders": `"etcd://orders" names no service; "orders" is its authority, write etcd:///orders`,
	} {
		_, err := b.Build(parse(t, target), nil, gresolver.BuildOptions{})
		if code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", target, err)
		}
	}
	_, err := call(within(t), connect(t, b, "etcd:///"))
	if err == nil || !strings.Contains(err.Error(), "names no service") {
		t.Errorf("a call to no service: %v", err)
	}
	if _, err := resolver.NewBuilder(nil); err == nil {
		t.Error("a builder without a client")
	}
}

// TestEachAddressIsReportedOnce: gRPC gets each address once, in the order of keys, and a list only
// after a change.
func TestEachAddressIsReportedOnce(t *testing.T) {
	c := clienttest.Shared(t)
	s := newService(t, c, t.Name())
	put := func(k, value string) {
		t.Helper()
		_, err := c.Put(within(t), s.name+"/"+k, value)
		clienttest.OK(t, "Put", err)
	}
	f := resolve(t, builder(t, c), "etcd:///"+s.name)
	says := func(want ...string) {
		t.Helper()
		if got := f.next(t); !slices.Equal(got, want) {
			t.Errorf("reported %v, want %v", got, want)
		}
	}
	says()
	if err := <-f.errs; !strings.Contains(err.Error(), "has no endpoints") {
		t.Errorf("reported %v", err)
	}
	s.add("b", "b:1", nil)
	says("b:1")
	s.add("a", "z:1", []any{"x"})
	says("z:1", "b:1")
	// None of these changes anything.
	put("c", "{junk")
	s.add("b", "b:1", nil)
	s.add("c", "b:1", nil) // the same address a second time
	s.add("a", "z:1", []any{"x"})
	s.add("d", "", "metadata alone")
	put("c", "{junk")
	s.add("c", "b:1", "other metadata, but not of the first key")
	s.remove("b") // the address stays, with the other key
	says("z:1", "b:1")
	s.add("e", "e:1", nil)
	says("z:1", "b:1", "e:1")
	s.remove("c")
	says("z:1", "e:1")
	s.remove("a")
	says("e:1")
	s.remove("e")
	says()
	select {
	case got := <-f.states:
		t.Errorf("reported %v, and nothing was changed", got)
	default:
	}
}

// TestMetadata: metadata reach the addresses and the endpoints and can be compared, and their
// changes are reported.
func TestMetadata(t *testing.T) {
	c := clienttest.Shared(t)
	s := newService(t, c, t.Name())
	f := resolve(t, builder(t, c), "etcd:///"+s.name)
	f.reach(t)
	for _, m := range []any{map[string]any{
		"zone": "a", "weight": 10,
	}, map[string]any{"zone": "a", "weight": 20}, "text", []any{1, []any{"x"}}, 7, false, nil} {
		s.add("a", "a:1", m)
		state := <-f.states
		var want any
		switch m := m.(type) {
		case map[string]any:
			want = map[string]any{"zone": "a", "weight": float64(m["weight"].(int))}
		case []any:
			want = []any{1.0, []any{"x"}}
		case int:
			want = 7.0
		default:
			want = m
		}
		for what, a := range map[string]*attributes.Attributes{
			"address": state.Addresses[0].Attributes, "endpoint": state.Endpoints[0].Attributes,
			"the endpoint's address": state.Endpoints[0].Addresses[0].Attributes,
		} {
			if got := resolver.Metadata(a); !reflect.DeepEqual(got, want) {
				t.Errorf("metadata %v of %s are %v, want %v", m, what, got, want)
			}
		}
		again := <-resolve(t, builder(t, c), "etcd:///"+s.name).states
		if a, b := state.Addresses[0], again.Addresses[0]; !a.Equal(b) || !b.Equal(a) {
			t.Errorf("metadata %v differ from themselves", m)
		}
		if _, err := state.Addresses[0].Attributes.MarshalJSON(); err != nil {
			t.Error(err)
		}
	}
	if m := resolver.Metadata(attributes.New("a", 1)); m != nil {
		t.Errorf("metadata %v of other attributes", m)
	}
}

// seen is the last state that a balancer of the older kind got.
type seen struct {
	mu sync.Mutex
	m  map[string]any
}

// Build implements base.PickerBuilder.
func (s *seen) Build(info base.PickerBuildInfo) balancer.Picker {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m = make(map[string]any)
	for _, sc := range info.ReadySCs {
		s.m[sc.Address.Addr] = resolver.Metadata(sc.Address.Attributes)
	}
	for sc := range info.ReadySCs {
		return &always{sc}
	}
	return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
}

type always struct{ sc balancer.SubConn }

// Pick implements balancer.Picker.
func (a *always) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: a.sc}, nil
}

var metadataSeen seen

func init() {
	balancer.Register(base.NewBalancerBuilder("metadata_seen", &metadataSeen, base.Config{}))
}

// TestOldBalancerSeesMetadata: a balancer made with gRPC's base package sees the metadata and their
// changes.
func TestOldBalancerSeesMetadata(t *testing.T) {
	c := clienttest.Shared(t)
	s := newService(t, c, t.Name())
	one, two := server(t), server(t)
	s.add("one", one, map[string]any{"weight": 1})
	s.add("two", two, nil)
	cc := connect(
		t,
		builder(t, c),
		"etcd:///"+s.name,
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"metadata_seen":{}}]}`),
	)
	cc.Connect()
	sees := func(want map[string]any) {
		t.Helper()
		clienttest.Await(t, fmt.Sprint(want), func() bool {
			metadataSeen.mu.Lock()
			defer metadataSeen.mu.Unlock()
			return reflect.DeepEqual(metadataSeen.m, want)
		})
	}
	sees(map[string]any{one: map[string]any{"weight": 1.0}, two: nil})
	s.add("one", one, map[string]any{"weight": 2})
	sees(map[string]any{one: map[string]any{"weight": 2.0}, two: nil})
	s.remove("one")
	sees(map[string]any{two: nil})
}

// TestCompactedWhileAway: the resolver recovers from an outage with a compaction; the official one
// never does.
func TestCompactedWhileAway(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	there := clienttest.Dial(t, cluster.Members()[0].Direct)
	s := newService(t, there, t.Name())
	s.add("1", "gone:1", nil)
	s.add("2", "stays:1", nil)
	f := resolve(t, builder(t, clienttest.Dial(t, cluster.Endpoints()...)), "etcd:///"+s.name)
	f.reach(t, "gone:1", "stays:1")
	proxy := cluster.Members()[0].Proxy()
	proxy.Cut()
	s.remove("1")
	s.add("3", "new:1", nil)
	s.add("4", "new:2", nil)
	r, err := there.Get(within(t), "x")
	clienttest.OK(t, "Get", err)
	_, err = there.Compact(within(t), r.Header.Revision)
	clienttest.OK(t, "Compact", err)
	clienttest.OK(t, "Heal", proxy.Heal())
	begin := time.Now()
	if got := f.next(t); !slices.Equal(got, []string{"stays:1", "new:1", "new:2"}) {
		t.Errorf("reported %v", got)
	}
	t.Logf("right %v after the network was back", time.Since(begin))
	s.remove("4") // and it goes on
	f.reach(t, "stays:1", "new:1")
}

// TestMissingPermissionIsReported: a missing permission is reported. Once it is granted, the
// resolver works.
func TestMissingPermissionIsReported(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	root := clienttest.Dial(t, cluster.Endpoints()...)
	ctx := clienttest.Within(t, 2*clienttest.Long)
	s := newService(t, root, t.Name())
	s.add("1", "a:1", nil)
	for _, err := range []error{
		second(root.UserAdd(ctx, "root", "root")), second(root.UserGrantRole(ctx, "root", "root")),
		second(root.UserAdd(ctx, "user", "user")), second(root.RoleAdd(ctx, "reader")),
		second(root.UserGrantRole(ctx, "user", "reader")), second(root.AuthEnable(ctx)),
	} {
		clienttest.OK(t, "auth", err)
	}
	login := func(name string) *clientv3.Client {
		c, err := clientv3.New(
			clientv3.Config{Endpoints: cluster.Endpoints(), Username: name, Password: name, Logger: root.GetLogger()},
		)
		clienttest.OK(t, "New", err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	f := resolve(t, builder(t, login("user")), "etcd:///"+s.name)
	select {
	case err := <-f.errs:
		if !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("reported %v", err)
		}
		if _, ok := status.FromError(err); ok {
			t.Errorf("%v carries a status, with which gRPC ends calls that wait", err)
		}
	case <-ctx.Done():
		t.Fatal("nothing reported")
	}
	prefix := s.name + "/"
	_, err := login(
		"root",
	).RoleGrantPermission(ctx, "reader", prefix, clientv3.GetPrefixRangeEnd(prefix),
		clientv3.PermissionType(clientv3.PermRead))
	clienttest.OK(t, "RoleGrantPermission", err)
	f.reach(t, "a:1")
}

func second[T any](_ T, err error) error { return err }

// TestThousand endpoints that come one by one.
func TestThousand(t *testing.T) {
	c := clienttest.Shared(t)
	s := newService(t, c, t.Name())
	f := resolve(t, builder(t, c), "etcd:///"+s.name)
	f.reach(t)
	var want []string
	for i := range 1000 {
		k := fmt.Sprintf("%04d", i)
		want = append(want, k+":1")
		if i%2 == 0 {
			s.add(k, k+":1", nil)
			continue
		}
		clienttest.OK(
			t,
			"Update",
			s.Update(
				within(t),
				[]*endpoints.UpdateWithOpts{
					endpoints.NewAddUpdateOpts(s.name+"/"+k, endpoints.Endpoint{Addr: k + ":1"}),
				},
			),
		)
	}
	begin, n := time.Now(), 1
	for got := f.next(t); !slices.Equal(got, want); got = f.next(t) {
		n++
	}
	t.Logf("1000 endpoints in %d states, the last %v after it was written", n, time.Since(begin))
	if got := resolve(t, builder(t, c), "etcd:///"+s.name).next(t); !slices.Equal(got, want) {
		t.Errorf("another resolver first reports %d endpoints", len(got))
	}
}
