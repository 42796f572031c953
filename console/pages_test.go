package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	recipe "github.com/fairlead-go/fairlead/clientv3/experimental/recipes"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

type serviceList struct {
	Base     string
	Services []struct {
		Name      string
		Instances []struct {
			ID, Version, Zone string
			Addresses         []string
			Weight            int
			Draining          bool
			Lease             string
			TTL, Granted      int64
			Metadata          map[string]string
		}
	}
	Problems []struct {
		Key   []byte
		Error string
	}
}

func TestServices(t *testing.T) {
	p, client := open(t)
	base := t.Name() + "/"
	format := discovery.JSON{Base: base}
	r := discovery.NewRegistrar(client, discovery.WithFormat(format), discovery.WithTTL(60))
	defer r.Close()
	ctx := clienttest.Within(t, clienttest.Long)
	for i := range 3 {
		if _, err := r.Register(ctx, discovery.Instance{Service: "or/ders", ID: fmt.Sprint("i", i), Addresses: []string{
			"10.0.0.1:80",
		}, Version: "v2", Zone: "east", Weight: 5, Metadata: map[string]string{"a": "<b>"}}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, client, base+"bad/one", "{")
	var list serviceList
	look := func() {
		t.Helper()
		list = serviceList{}
		p.get("api/services?base="+base, &list)
	}
	look()
	if len(list.Services) != 1 || list.Services[0].Name != "or/ders" || len(list.Services[0].Instances) != 3 ||
		len(list.Problems) != 1 ||
		string(list.Problems[0].Key) != base+"bad/one" {
		t.Fatalf("%+v", list)
	}
	in := list.Services[0].Instances[0]
	if in.ID != "i0" || in.Version != "v2" || in.Zone != "east" || in.Weight != 5 || in.Draining || in.Lease == "" ||
		in.TTL <= 0 ||
		in.Granted != 60 ||
		in.Metadata["a"] != "<b>" {
		t.Fatalf("%+v", in)
	}
	one := map[string]string{"records": "json", "base": base, "service": "or/ders", "id": "i1"}
	p.control(map[string]any{"records": "json", "base": base, "service": "or/ders", "id": "i1", "drain": true})
	look()
	for i, in := range list.Services[0].Instances {
		if in.Draining != (i == 1) || in.Lease == "" {
			t.Fatalf("%+v", in)
		}
	}
	p.control(map[string]any{"records": "json", "base": base, "service": "or/ders", "id": "i1", "drain": false})
	look()
	for _, in := range list.Services[0].Instances {
		if in.Draining {
			t.Fatalf("%+v", in)
		}
	}
	put(
		t,
		client,
		format.Key(&discovery.Instance{Service: "gone", ID: "x"}),
		`{"service":"gone","id":"x","addresses":["10.0.0.1:80"]}`,
	)
	one["service"], one["id"] = "gone", "x"
	if status := p.call("POST", "api/services/remove", one, nil); status != http.StatusNoContent {
		t.Fatalf("remove: status %d", status)
	}
	p.refused("POST", "api/services/remove", one, http.StatusNotFound, "NotFound")
	p.refused("GET", "api/services?records=raw", nil, http.StatusBadRequest, "bad_request")
	p.refused("GET", "api/services?records=other", nil, http.StatusBadRequest, "bad_request")
	put(t, client, base+"raw/10.1.1.1:80", "10.1.1.1:80")
	list = serviceList{}
	p.get("api/services?records=raw&base="+base, &list)
	if len(list.Services) == 0 {
		t.Fatal("no services in go-kit's format")
	}
}

func TestLeases(t *testing.T) {
	p, client := open(t)
	lease, err := client.Grant(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		put(t, client, fmt.Sprint(t.Name(), i), "", clientv3.WithLease(lease.ID))
	}
	var list struct {
		Total  int
		Leases []struct {
			ID           string
			TTL, Granted int64
			KeyCount     int
			Keys         [][]byte
		}
	}
	p.get("api/leases", &list)
	for _, l := range list.Leases {
		if l.ID == fmt.Sprintf("%x", int64(lease.ID)) {
			if l.TTL <= 0 || l.TTL > 100 || l.Granted != 100 || l.KeyCount != 30 || len(l.Keys) != 20 {
				t.Fatalf("%+v", l)
			}
			return
		}
	}
	t.Fatalf("the lease is not among %d", list.Total)
}

type queueList struct {
	Queues []struct {
		Name   []byte
		Recipe bool
		All    []struct {
			Key, Value []byte
			Create     int64
			TTL        int64
		}
	}
}

func TestLocksAndElections(t *testing.T) {
	p, client := open(t)
	ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
	defer cancel()
	var sessions []*concurrency.Session
	for range 3 {
		s, err := concurrency.NewSession(client, concurrency.WithTTL(30))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sessions = append(sessions, s)
	}
	name := t.Name() + "/lock"
	m := concurrency.NewMutex(sessions[0], name)
	if err := m.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- concurrency.NewMutex(sessions[1], name).Lock(ctx) }()
	e := concurrency.NewElection(sessions[2], t.Name()+"/leader")
	if err := e.Campaign(ctx, "me"); err != nil {
		t.Fatal(err)
	}
	put(t, client, t.Name()+"/lock/notone", "")
	sem := recipe.NewSemaphore(sessions[0], t.Name()+"/semaphore", 2)
	if err := sem.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"api/locks", "api/locks?prefix=" + b64(t.Name())} {
		var list queueList
		clienttest.Await(t, "both queues are found", func() bool {
			list = queueList{}
			p.get(path, &list)
			return len(list.Queues) == 3 && len(list.Queues[1].All) == 2
		})
		leader, lock := list.Queues[0], list.Queues[1]
		if q := list.Queues[2]; string(q.Name) != t.Name()+"/semaphore/" || !q.Recipe || lock.Recipe || leader.Recipe ||
			len(q.All) != 1 {
			t.Fatalf("%+v", q)
		}
		if string(leader.Name) != t.Name()+"/leader/" || string(leader.All[0].Value) != "me" || leader.All[0].TTL <= 0 {
			t.Fatalf("%+v", leader)
		}
		if string(lock.Name) != name+"/" || string(lock.All[0].Key) != m.Key() ||
			lock.All[0].Create >= lock.All[1].Create {
			t.Fatalf("%+v", lock)
		}
	}
	cancel()
	<-done
}

func TestOverview(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	client := clienttest.Dial(t, cluster.Endpoints()[:2]...)
	p := serve(t, client, console.WithToken(secret), console.WithMetrics(nil))
	p.signIn()
	type overview struct {
		Leader   string
		Revision int64
		Members  []struct {
			ID, Name, Endpoint, State, Error, Version string
			Up, Leader                                bool
			Size                                      int64
		}
	}
	var o overview
	p.get("api/overview", &o)
	leaders := 0
	for _, m := range o.Members {
		if !m.Up || m.Version == "" || m.Name == "" || m.Size == 0 {
			t.Errorf("%+v", m)
		}
		if m.Leader {
			leaders++
		}
	}
	if len(o.Members) != 3 || leaders != 1 || o.Leader == "" {
		t.Fatalf("%+v", o)
	}
	// A member that does not answer is shown as such, in time.
	frozen := cluster.Members()[1]
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	o = overview{}
	p.get("api/overview", &o)
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	if o.Members[1].Up || o.Members[1].Error == "" || o.Members[1].Name != frozen.Name || !o.Members[0].Up {
		t.Fatalf("%+v", o)
	}
}

func TestClusterThatCannotBeReached(t *testing.T) {
	proxy, err := faultnet.New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	proxy.Refuse()
	client := clienttest.Dial(t, proxy.Addr())
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	for _, path := range []string{"count", "tree", "key?key=YQ", "services", "leases", "locks", "access"} {
		var e failure
		begin := time.Now()
		if status := p.call("GET", "api/"+path, nil, &e); status != http.StatusServiceUnavailable &&
			status != http.StatusGatewayTimeout {
			t.Errorf("%s: status %d, %+v", path, status, e)
		}
		if len(e.Members) != 1 || e.Members[0].Endpoint != proxy.Addr() ||
			!strings.Contains(e.Members[0].Reason, "refused") ||
			time.Since(begin) > 8*time.Second {
			t.Errorf("%s: %+v after %v", path, e, time.Since(begin))
		}
	}
	var o struct{ Members []struct{ Error string } }
	p.get("api/overview", &o)
	if len(o.Members) != 1 || o.Members[0].Error == "" {
		t.Fatalf("%+v", o)
	}
}

// withUsers adds to a cluster root, and ann, who may read and write below app/.
func withUsers(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx := clienttest.Within(t, clienttest.Long)
	for _, do := range []func() error{
		func() error { _, err := client.UserAdd(ctx, "root", "r"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := client.RoleAdd(ctx, "app"); return err },
		func() error {
			_, err := client.RoleGrantPermission(ctx, "app", "app/", clientv3.GetPrefixRangeEnd("app/"),
				clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := client.UserAdd(ctx, "ann", "a"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "ann", "app"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsersAndLogin(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	login := console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()})
	p := serve(t, client, console.WithLogin(login))
	p.refused(
		"POST",
		"api/session",
		map[string]string{"user": "root", "password": "anything"},
		http.StatusUnauthorized,
		"denied",
	) // authentication is off

	withUsers(t, client)
	p.refused(
		"POST",
		"api/session",
		map[string]string{"user": "ann", "password": "wrong"},
		http.StatusUnauthorized,
		"denied",
	)
	p.refused(
		"POST",
		"api/session",
		map[string]string{"user": "nobody", "password": ""},
		http.StatusUnauthorized,
		"denied",
	)
	type accessList struct {
		Enabled bool
		User    string
		Users   []struct {
			Name  string
			Roles []string
		}
		Roles []struct {
			Name        string
			Permissions []struct {
				Key, End []byte
				Type     string
			}
		}
		Limited string
	}
	as := func(user, password string) {
		t.Helper()
		p.signInWith(map[string]string{"user": user, "password": password})
	}
	as("ann", "a")
	status := p.call("PUT", "api/key", map[string]any{"key": b64Std("app/k"), "value": b64Std("v"), "mod": 0}, nil)
	if status != http.StatusOK {
		t.Fatalf("writing what she may: status %d", status)
	}
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std("other"), "value": b64Std("v"), "mod": 0},
		http.StatusForbidden,
		"PermissionDenied",
	)
	p.refused("GET", "api/tree", nil, http.StatusForbidden, "PermissionDenied")
	if list, _ := p.level("app/", "/", 100); len(list) != 1 {
		t.Fatalf("her keys: %q", list)
	}
	var a accessList
	p.get("api/access", &a)
	if !a.Enabled || a.User != "ann" || len(a.Users) != 1 || len(a.Roles) != 1 ||
		string(a.Roles[0].Permissions[0].Key) != "app/" ||
		a.Limited == "" {
		t.Fatalf("ann sees %+v", a)
	}
	as("root", "r")
	a = accessList{}
	p.get("api/access", &a)
	if len(a.Users) != 2 || len(a.Roles) == 0 || a.Limited != "" {
		t.Fatalf("root sees %+v", a)
	}
	var k keyState
	p.get("api/key?key="+b64("app/k"), &k)
	if string(k.Value) != "v" {
		t.Fatalf("%+v", k)
	}
}

// decodeTo decodes the data of a stream's event.
func decodeTo[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}
