package agent

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A program's life: every operation once, each exchange as documented.
func TestEveryOperationIsAsDocumented(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	s := t.Name()
	at := instance(s, "one")
	var done registered
	r.want(
		201,
		&done,
		"PUT",
		at,
		`{"addresses":["10.0.0.1:80"],"version":"v1","zone":"east","weight":3,"tags":["blue"],"metadata":{"team":"x"},"ttl":60}`,
	)
	if done != (registered{s, "one", 60}) {
		t.Errorf("%+v", done)
	}
	if !exists(t, client, key(s, "one")) {
		t.Error("etcd does not have it")
	}
	clienttest.Await(t, "it is listed", func() bool { return slices.Equal(r.ids(s), []string{"one"}) })
	var one instanceAnswer
	r.want(200, &one, "GET", at, "")
	if in := one.Instance; in.Version != "v1" || in.Zone != "east" || in.Weight != 3 || in.Tags[0] != "blue" ||
		in.Metadata["team"] != "x" ||
		one.Stale ||
		one.Revision == 0 {
		t.Errorf("%+v", one)
	}
	// The same again, with a change and another TTL, whose lease is another one. The record is
	// there all the time.
	gone := deletions(t, client, key(s, "one"))
	r.want(200, &done, "PUT", at, `{"addresses":["10.0.0.2:80"],"ttl":600}`)
	clienttest.Await(t, "the change is seen", func() bool {
		r.want(200, &one, "GET", at, "")
		return one.Instance.Addresses[0] == "10.0.0.2:80"
	})
	r.want(200, &done, "POST", at+"/renew", "")
	if done.TTL != 600 {
		t.Errorf("%+v", done)
	}
	if n := gone(); n != 0 {
		t.Errorf("the record went %d times", n)
	}
	r.want(200, &one, "GET", "/v1/services/"+s+"/pick", "")
	if one.Instance.ID != "one" {
		t.Errorf("%+v", one)
	}
	r.want(200, &one, "GET", "/v1/services/"+s+"/pick?key=x", "")
	var list listAnswer
	clienttest.Await(t, "the service is listed", func() bool {
		r.want(200, &list, "GET", "/v1/services", "")
		return slices.Contains(list.Services, serviceCount{s, 1})
	})
	r.want(204, nil, "POST", at+"/drain?limit=2", "")
	if exists(t, client, key(s, "one")) {
		t.Error("it is there after its drain")
	}
	r.want(404, nil, "POST", at+"/renew", "")
	r.want(404, nil, "DELETE", at, "")
	r.want(201, nil, "PUT", at, `{"addresses":["10.0.0.2:80"]}`)
	r.want(204, nil, "DELETE", at, "")
	if exists(t, client, key(s, "one")) {
		t.Error("the record is there after its removal")
	}
	clienttest.Await(t, "nobody is left", func() bool { return len(r.ids(s)) == 0 })
	clienttest.Await(t, "none is picked", func() bool {
		status, _ := r.call("GET", "/v1/services/"+s+"/pick", "")
		return status == 503
	})
	var h healthAnswer
	r.want(200, &h, "GET", "/healthz", "")
	if h.Status != "ok" || h.Registrations != 0 {
		t.Errorf("%+v", h)
	}
	if status, text := r.call("GET", "/metrics", ""); status != 200 ||
		!strings.Contains(text, "fairlead_agent_services 1") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := r.call("GET", "/openapi.json", ""); status != 200 || !strings.HasPrefix(text, `{`) {
		t.Errorf("%d %s", status, text)
	}
	for _, op := range []string{
		"register", "renew", "drain", "deregister", "getService", "getInstance", "listServices", "pick", "health",
	} {
		if !r.doc.seen[op] {
			t.Errorf("%s was not tried", op)
		}
	}
}

// deletions counts how often a key is deleted from now on.
func deletions(t *testing.T, client *clientv3.Client, key string) func() int {
	t.Helper()
	a, err := client.Get(clienttest.Within(t, clienttest.Long), key)
	if err != nil {
		t.Fatal(err)
	}
	from := a.Header.Revision + 1
	return func() (n int) {
		t.Helper()
		ctx := clienttest.Within(t, clienttest.Long)
		now, err := client.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if now.Header.Revision < from {
			return 0
		}
		for w := range client.Watch(ctx, key, clientv3.WithRev(from), clientv3.WithProgressNotify()) {
			for _, e := range w.Events {
				if e.Type == clientv3.EventTypeDelete {
					n++
				}
			}
			if len(now.Kvs) == 0 || w.Header.Revision >= now.Header.Revision ||
				w.Events[len(w.Events)-1].Kv.ModRevision >= now.Kvs[0].ModRevision {
				return n
			}
		}
		return n
	}
}

// An instance whose program stops renewing is removed; one that is renewed stays.
func TestSilentProgramGoes(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	s := t.Name()
	began := time.Now()
	r.want(201, nil, "PUT", instance(s, "silent"), `{"addresses":["10.0.0.1:80"],"ttl":5}`)
	r.want(201, nil, "PUT", instance(s, "alive"), `{"addresses":["10.0.0.2:80"],"ttl":5}`)
	clienttest.Await(t, "the silent one is gone", func() bool {
		r.want(200, nil, "POST", instance(s, "alive")+"/renew", "")
		return !exists(t, client, key(s, "silent"))
	})
	if took := time.Since(began); took < LeastTTL {
		t.Errorf("it went after %v", took)
	}
	if !exists(t, client, key(s, "alive")) {
		t.Error("the one that renews is gone")
	}
	r.want(404, nil, "POST", instance(s, "silent")+"/renew", "")
	if !strings.Contains(r.log(), "silent was not renewed for 5s") {
		t.Errorf("it said %s", r.log())
	}
}

// Another process's instance is not changed.
func TestAnotherProcessesInstanceIsNotChanged(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	s := t.Name()
	other := discovery.NewRegistrar(client)
	defer other.Close()
	if _, err := other.Register(clienttest.Within(t, clienttest.Long),
		discovery.Instance{Service: s, ID: "one", Addresses: []string{"10.0.0.9:80"}}); err != nil {
		t.Fatal(err)
	}
	r.want(409, nil, "PUT", instance(s, "one"), `{"addresses":["10.0.0.1:80"]}`)
	r.want(404, nil, "DELETE", instance(s, "one"), "")
	r.want(404, nil, "POST", instance(s, "one")+"/drain", "")
	if !exists(t, client, key(s, "one")) {
		t.Error("it is gone")
	}
}

// The events are first the whole view, then each difference; the stream ends with the agent.
func TestEvents(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	s := t.Name()
	r.want(201, nil, "PUT", instance(s, "one"), `{"addresses":["10.0.0.1:80"]}`)
	a, err := r.http.Get(r.base + "/v1/services/" + s + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v", a)
	}
	lines := bufio.NewScanner(a.Body)
	read := func(kind string, into any) {
		t.Helper()
		got := ""
		for lines.Scan() {
			if k, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				got = k
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), into); err != nil || got != kind {
					t.Fatalf("%s %s: %v, want %s", got, data, err, kind)
				}
				return
			}
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
	}
	var v viewAnswer
	read("view", &v)
	if len(v.Instances) != 1 || v.Instances[0].ID != "one" || v.Service != s {
		t.Errorf("%+v", v)
	}
	r.want(201, nil, "PUT", instance(s, "two"), `{"addresses":["10.0.0.2:80"]}`)
	var c changeEvent
	read("change", &c)
	if len(c.Added) != 1 || c.Added[0].ID != "two" || len(c.Removed) != 0 {
		t.Errorf("%+v", c)
	}
	r.want(204, nil, "DELETE", instance(s, "one"), "")
	read("change", &c)
	if !slices.Equal(c.Removed, []string{"one"}) || len(c.Added) != 0 {
		t.Errorf("%+v", c)
	}
	r.stop()
	for lines.Scan() {
		if text := lines.Text(); text != "" {
			t.Errorf("after the end: %q", text)
		}
	}
}

// Names arrive unchanged, whatever characters they have.
func TestNamesArriveUnchanged(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	for _, name := range []string{
		`a/b`, `..`, `a.b_c~d`, `%2F`, `ü€😀`, `a?b#c&d=e+f`, `"<>\^{}|` + "`", `;:@,!$'()*`, `-`, `x/../y`,
	} {
		var escaped strings.Builder
		for _, b := range []byte(name) {
			escaped.WriteString("%" + string("0123456789ABCDEF"[b>>4]) + string("0123456789ABCDEF"[b&15]))
		}
		service := t.Name() + escaped.String()
		var done registered
		r.want(201, &done, "PUT", instance(service, escaped.String()), `{"addresses":["10.0.0.1:80"]}`)
		if done.Service != t.Name()+name || done.ID != name {
			t.Errorf("%q: %+v", name, done)
		}
		if !exists(t, client, key(t.Name()+name, name)) {
			t.Errorf("%q: not in etcd", name)
		}
		clienttest.Await(t, name, func() bool { return slices.Equal(r.ids(service), []string{name}) })
		r.want(204, nil, "DELETE", instance(service, escaped.String()), "")
	}
	for _, bad := range []string{"a%20b", "a%00b", "%FF", strings.Repeat("x", 300)} {
		r.want(400, nil, "PUT", instance(t.Name(), bad), `{"addresses":["10.0.0.1:80"]}`)
		r.want(400, nil, "GET", "/v1/services/"+bad, "")
	}
}
