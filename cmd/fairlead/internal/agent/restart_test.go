package agent

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Registrations survive a restart of the agent, and so does an operator's drain; then the instances
// of programs that have ended lapse.
func TestRegistrationsSurviveARestart(t *testing.T) {
	c := etcdtest.Shared(t)
	watcher := clienttest.Shared(t)
	dir := t.TempDir()
	files := func(o *Options) { o.Files = dir }
	s := t.Name()
	first := clienttest.Dial(t, c.Endpoints()...)
	r := start(t, first, files)
	for id, ttl := range map[string]string{"one": "30", "two": "5"} {
		r.want(201, nil, "PUT", instance(s, id), `{"addresses":["10.0.0.1:80"],"ttl":`+ttl+`}`)
	}
	gone := deletions(t, watcher, key(s, "one"))
	if err := discovery.Drain(clienttest.Within(t, clienttest.Long), watcher, discovery.JSON{}, s, "one"); err != nil {
		t.Fatal(err)
	}
	var one instanceAnswer
	clienttest.Await(
		t,
		"it drains",
		func() bool { r.want(200, &one, "GET", instance(s, "one"), ""); return one.Instance.IsDraining() },
	)
	r.stop()
	first.Close()
	if !exists(t, watcher, key(s, "one")) {
		t.Fatal("it went with the agent")
	}
	r = start(t, clienttest.Dial(t, c.Endpoints()...), files)
	r.want(200, nil, "POST", instance(s, "one")+"/renew", "")
	clienttest.Await(
		t,
		"the one that is not renewed has gone",
		func() bool { return !exists(t, watcher, key(s, "two")) },
	)
	if n := gone(); n != 0 {
		t.Errorf("the record went %d times", n)
	}
	if r.want(200, &one, "GET", instance(s, "one"), ""); !one.Instance.IsDraining() {
		t.Errorf("it does not drain any more: %+v", one)
	}
	r.want(204, nil, "DELETE", instance(s, "one"), "")
}

// An agent that starts while etcd is away answers with the last known instances, marked as stale.
func TestStartsWithoutEtcd(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	dir := t.TempDir()
	files := func(o *Options) { o.Files = dir }
	s := t.Name()
	r := start(t, client, files)
	r.want(201, nil, "PUT", instance(s, "one"), `{"addresses":["10.0.0.1:80"],"ttl":600}`)
	snapshot := filepath.Join(dir, "services", s+".json")
	clienttest.Await(t, "it is in a file", func() bool {
		r.ids(s)
		text, _ := os.ReadFile(snapshot)
		return strings.Contains(string(text), "10.0.0.1")
	})
	r.stop()
	client.Close()
	c.Members()[0].Kill()

	r = start(t, clienttest.Dial(t, c.Endpoints()...), files)
	var v viewAnswer
	clienttest.Await(t, "it answers", func() bool {
		status, text := r.call("GET", "/v1/services/"+s, "")
		return status == 200 && json.Unmarshal([]byte(text), &v) == nil
	})
	if !v.Stale || len(v.Instances) != 1 || v.Age <= 0 {
		t.Errorf("%+v", v)
	}
	var h healthAnswer
	if r.want(200, &h, "GET", "/healthz", ""); h.Status != "stale" || h.Registrations != 1 || h.Age <= 0 {
		t.Errorf("%+v", h)
	}
	r.want(503, nil, "GET", "/v1/services/"+s+"-unknown", "")
	r.want(503, nil, "GET", "/v1/services", "")
	r.want(503, nil, "PUT", instance(s, "two"), `{"addresses":["10.0.0.2:80"]}`)
	r.want(200, nil, "POST", instance(s, "one")+"/renew", "")
	if err := c.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "it is up to date", func() bool {
		r.want(200, &v, "GET", "/v1/services/"+s, "")
		return !v.Stale && v.Revision > 0
	})
	r.want(201, nil, "PUT", instance(s, "two"), `{"addresses":["10.0.0.2:80"]}`)
	clienttest.Await(
		t,
		"both are there",
		func() bool { ids := r.ids(s); slices.Sort(ids); return slices.Equal(ids, []string{"one", "two"}) },
	)
}

// A state file that is cut short, or of another version, is moved aside, and the agent serves.
func TestBadStateFileIsMovedAside(t *testing.T) {
	client := clienttest.Shared(t)
	for name, text := range map[string]string{
		"cut":     `{"version":1,"registrations":[{"instance":{"service":"x"`,
		"version": `{"version":2,"registrations":[]}`, "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "registrations.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := start(t, client, func(o *Options) { o.Files = dir })
			r.want(200, nil, "GET", "/healthz", "")
			if kept, err := os.ReadFile(path + ".bad"); err != nil || string(kept) != text {
				t.Errorf("%q: %v", kept, err)
			}
			if !strings.Contains(r.log(), "is not used") {
				t.Errorf("it said %q", r.log())
			}
		})
	}
}

// A second agent with the same directory of files is refused: it would take over the registrations
// of the first, and remove them, since their programs do not renew them there.
func TestSecondAgentWithADirectoryIsRefused(t *testing.T) {
	client := clienttest.Shared(t)
	o := Options{
		Format: discovery.JSON{}, Base: discovery.DefaultBase, HTTP: "127.0.0.1:0", Files: t.TempDir(),
		Say: func(string) {},
	}
	r := start(t, client, func(first *Options) { first.Files = o.Files })
	if _, err := Listen(client, o); err == nil || !strings.Contains(err.Error(), "another agent uses "+o.Files) {
		t.Fatalf("%v", err)
	}
	r.stop()
	start(t, client, func(next *Options) { next.Files = o.Files }).want(200, nil, "GET", "/healthz", "")
}

// A registration that was renewed too long ago does not come back.
func TestOldRegistrationDoesNotComeBack(t *testing.T) {
	client := clienttest.Shared(t)
	dir := t.TempDir()
	s := newState(filepath.Join(dir, "registrations.json"))
	in := func(id string) discovery.Instance {
		return discovery.Instance{Service: t.Name(), ID: id, Addresses: []string{"10.0.0.1:80"}}
	}
	s.save(
		[]record{{in("old"), 60, time.Now().Add(-3 * time.Minute)}, {in("new"), 60, time.Now().Add(-time.Minute)}},
		func(line string) { t.Error(line) },
	)
	r := start(t, client, func(o *Options) { o.Files = dir })
	clienttest.Await(t, "the new one is there", func() bool { return exists(t, client, key(t.Name(), "new")) })
	if exists(t, client, key(t.Name(), "old")) {
		t.Error("the old one is there")
	}
	r.want(204, nil, "DELETE", instance(t.Name(), "new"), "")
}

// While etcd is away, many clients that ask for the list of all services get it stale, and do not
// wait for each other's reads: one after the other these would take two minutes.
func TestListWithoutEtcd(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	r := start(t, clienttest.Dial(t, cluster.Endpoints()...), nil)
	r.want(201, nil, "PUT", instance(t.Name(), "one"), `{"addresses":["10.0.0.1:80"]}`)
	clienttest.Await(t, "the list", func() bool {
		var l listAnswer
		r.want(200, &l, "GET", "/v1/services", "")
		return len(l.Services) == 1
	})
	if err := cluster.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Members()[0].Thaw() })
	clienttest.Await(t, "a stale list", func() bool {
		var l listAnswer
		r.want(200, &l, "GET", "/v1/services", "")
		return l.Stale && len(l.Services) == 1
	})
	ctx := clienttest.Within(t, clienttest.Long)
	var clients sync.WaitGroup
	for range 60 {
		clients.Go(func() {
			q, err := http.NewRequestWithContext(ctx, "GET", r.base+"/v1/services", nil)
			if err != nil {
				t.Error(err)
				return
			}
			answer, err := r.http.Do(q)
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Error(answer.Status)
			}
		})
	}
	clients.Wait()
}
