package endpoints_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
)

func TestAddListDelete(t *testing.T) {
	c := clienttest.Shared(t)
	m, ctx := manager(t, c), within(t)
	key := t.Name() + "/10.0.0.1:80"
	lease, err := c.Grant(ctx, 600)
	clienttest.OK(t, "Grant", err)
	one := endpoints.Endpoint{Addr: "10.0.0.1:80"}
	clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, key, one, clientv3.WithLease(lease.ID)))
	r, err := c.Get(ctx, key)
	clienttest.OK(t, "Get", err)
	if got, want := string(r.Kvs[0].Value), `{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}`; got != want ||
		r.Kvs[0].Lease != int64(lease.ID) {
		t.Errorf("stored %s under lease %x, want %s under %x", got, r.Kvs[0].Lease, want, lease.ID)
	}
	list, err := m.List(ctx)
	if want := (endpoints.Key2EndpointMap{key: {Addr: "10.0.0.1:80"}}); err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("List: %v, %v", list, err)
	}
	for range 2 { // the second time the key does not exist
		clienttest.OK(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, key))
	}
	if list, err = m.List(ctx); err != nil || list == nil || len(list) != 0 {
		t.Errorf("List: %v, %v", list, err)
	}
}

func TestUpdateIsAtomic(t *testing.T) {
	c := clienttest.Shared(t)
	m, ctx := manager(t, c), within(t)
	key := func(s string) string { return t.Name() + "/" + s }
	clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, key("old"), endpoints.Endpoint{Addr: "old:1"}))
	v := watch(t, ctx, m)
	v.says("+old old:1 <nil>")
	add := func(k string) *endpoints.UpdateWithOpts {
		return endpoints.NewAddUpdateOpts(key(k), endpoints.Endpoint{Addr: k + ":1"})
	}
	clienttest.OK(
		t,
		"Update",
		m.Update(ctx, []*endpoints.UpdateWithOpts{add("b"), endpoints.NewDeleteUpdateOpts(key("old")), add("a")}),
	)
	v.says("+a a:1 <nil>", "+b b:1 <nil>", "-old")

	// An update with a mistake changes nothing, whether the client or the server finds the mistake.
	err := m.Update(ctx, []*endpoints.UpdateWithOpts{add("c"), add("c")})
	if !errors.Is(err, rpctypes.ErrDuplicateKey) {
		t.Errorf("a key twice: %v", err)
	}
	var many []*endpoints.UpdateWithOpts
	for i := range 129 {
		many = append(many, add(fmt.Sprint("many", i)))
	}
	if err := m.Update(ctx, many); !errors.Is(err, rpctypes.ErrTooManyOps) {
		t.Errorf("129 updates: %v", err)
	}
	if err := m.Update(ctx, []*endpoints.UpdateWithOpts{add("c"), nil}); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("a nil update: %v", err)
	}
	clienttest.OK(t, "no updates", m.Update(ctx, nil))
	clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, key("end"), endpoints.Endpoint{Addr: "end:1"}))
	v.says("+end end:1 <nil>")
}

func TestMistakes(t *testing.T) {
	c := clienttest.Shared(t)
	if _, err := endpoints.NewManager(nil, "a"); err == nil || !strings.Contains(err.Error(), "client is nil") {
		t.Errorf("no client: %v", err)
	}
	if _, err := endpoints.NewManager(c, ""); err == nil || !strings.Contains(err.Error(), "target is empty") {
		t.Errorf("no target: %v", err)
	}
	m, ctx := manager(t, c), within(t)
	good := endpoints.Endpoint{Addr: "a:1"}
	in := t.Name() + "/a"
	for name, err := range map[string]error{
		"not under the target: it has to begin with":                 m.AddEndpoint(ctx, "other/a", good),
		`the key "TestMistakes" is not under the target`:             m.AddEndpoint(ctx, t.Name(), good),
		`the key "TestMistakes2/a" is not under the target`:          m.AddEndpoint(ctx, t.Name()+"2/a", good),
		`the key "" is not under the target`:                         m.DeleteEndpoint(ctx, ""),
		`"TestMistakes/a": an endpoint needs an address or metadata`: m.AddEndpoint(ctx, in, endpoints.Endpoint{}),
		"unsupported type: chan int": m.AddEndpoint(ctx, in,
			endpoints.Endpoint{Addr: "a:1", Metadata: make(chan int)}),
		"there is no operation 7": m.Update(ctx,
			[]*endpoints.UpdateWithOpts{{Update: endpoints.Update{Op: 7, Key: in}}}),
	} {
		if clientv3.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
	if list, err := m.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("List: %v, %v", list, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.NewWatchChannel(cancelled); err != context.Canceled {
		t.Errorf("NewWatchChannel with a cancelled context: %v", err)
	}
	var none context.Context
	if _, err := m.NewWatchChannel(none); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("NewWatchChannel without a context: %v", err)
	}
	if _, err := m.List(none); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("List without a context: %v", err)
	}
}

// TestStrangeNames: targets, keys and addresses may contain anything; only the slash after the
// target has a meaning.
func TestStrangeNames(t *testing.T) {
	c, ctx := clienttest.Shared(t), within(t)
	for _, target := range []string{"a b", "ä/ö", "tr/", "//", "\x00\xff", "%2F", `"`, strings.Repeat("x", 1000)} {
		target = t.Name() + target
		m, err := endpoints.NewManager(c, target)
		clienttest.OK(t, "NewManager", err)
		want := make(endpoints.Key2EndpointMap)
		for _, addr := range []string{"", "unix:///tmp/a b", "[::1]:80", "<&>\u2028", "日本:1", "\n", "/"} {
			e := endpoints.Endpoint{Addr: addr, Metadata: map[string]any{"<": addr}}
			want[target+"/"+addr] = e
			clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, target+"/"+addr, e))
		}
		if got, err := m.List(ctx); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("target %q has %v, %v, want %v", target, got, err, want)
		}
	}
}

func TestManagerUsesReplacedInterfaces(t *testing.T) {
	c, plain := clienttest.Shared(t), clienttest.Shared(t)
	c.KV, c.Watcher = namespace.NewKV(c.KV, "ns/"), namespace.NewWatcher(c.Watcher, "ns/")
	m, ctx := manager(t, c), within(t)
	v := watch(t, ctx, m)
	clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, t.Name()+"/a", endpoints.Endpoint{Addr: "a:1"}))
	v.says("+a a:1 <nil>")
	if r, err := plain.Get(ctx, "ns/"+t.Name()+"/a"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("stored %v, %v", r, err)
	}
	clienttest.OK(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, t.Name()+"/a"))
	v.says("-a")
}

// TestMetadata: metadata come back in JSON's types.
func TestMetadata(t *testing.T) {
	c := clienttest.Shared(t)
	m, ctx := manager(t, c), within(t)
	type zone struct{ Name string }
	for written, want := range map[any]any{
		1: 1.0, "text": "text", true: true, zone{"a"}: map[string]any{"Name": "a"}, [2]int{1, 2}: []any{1.0, 2.0},
		0: 0.0, "": "",
	} {
		key := t.Name() + "/a"
		clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, key, endpoints.Endpoint{Metadata: written}))
		if got, err := m.List(ctx); err != nil ||
			!reflect.DeepEqual(got, endpoints.Key2EndpointMap{key: {Metadata: want}}) {
			t.Errorf("%v came back as %v, %v", written, got, err)
		}
	}
}
