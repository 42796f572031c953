package console_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestRightsThatAreTakenAway while pages are open: plans are not carried out, watches end with the
// reason, and nothing later is sent.
func TestRightsThatAreTakenAway(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	keys := make(map[string]string)
	for i := range 150 {
		keys[fmt.Sprintf("app/%03d", i)] = "v"
	}
	if _, err := client.PutAll(t.Context(), maps.All(keys)); err != nil {
		t.Fatal(err)
	}
	withUsers(t, client)
	var log recorder
	p := serve(t, client, console.WithAudit(log.record), console.WithLogin(
		console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()})))
	p.signInWith(map[string]string{"user": "ann", "password": "a"})
	boss := &page{t: t, url: p.url, client: p.client, header: make(http.Header)}
	boss.signInWith(map[string]string{"user": "root", "password": "r"})
	access := func(change map[string]any) {
		t.Helper()
		var plan accessPlan
		if status := boss.call("POST", "api/access/plan", change, &plan); status != http.StatusOK {
			t.Fatalf("%v: status %d", change, status)
		}
		change["seen"] = plan.Seen
		if status := boss.call("POST", "api/access", change, nil); status >= 300 {
			t.Fatalf("%v: status %d", change, status)
		}
	}
	bossPut := func(key, value string) {
		t.Helper()
		var k struct{ Mod int64 }
		_ = boss.call("GET", "api/key?key="+b64(key), nil, &k)
		if status := boss.call("PUT", "api/key",
			map[string]any{"key": b64Std(key), "value": b64Std(value), "mod": k.Mod}, nil); status != http.StatusOK {
			t.Fatalf("%s: status %d", key, status)
		}
	}

	events, stop := p.listen("api/stream?watch=" + b64("app/"))
	defer stop()
	p.live(events, "watch")
	var v preview
	p.call("POST", "api/delete/preview", map[string]any{"key": b64Std("app/"), "prefix": true}, &v)
	file := p.lines("POST", "api/export", map[string]any{"prefix": b64Std("app/"), "revision": v.Revision})
	body := map[string]any{"file": strings.Join(file, "\n") + "\n", "to": b64Std("app/copy/")}
	var plan imported
	if status := p.call("POST", "api/import", body, &plan); status != http.StatusOK || plan.Added != 150 {
		t.Fatalf("status %d, %+v", status, plan)
	}
	body["seen"] = plan.Seen

	access(map[string]any{"action": "user-revoke", "user": "ann", "role": "app"})
	clienttest.Await(t, "the watch ends with the reason", func() bool {
		b, _ := p.next(events, "watch")
		return strings.Contains(b.Error, "permission denied")
	})
	bossPut("app/secret", "not for ann")
	log.take()
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"GET", "api/key?key=" + b64("app/000"), nil},
		{"GET", "api/history?key=" + b64("app/000"), nil},
		{"GET", "api/tree?prefix=" + b64("app/"), nil},
		{"GET", "api/count?prefix=" + b64("app/"), nil},
		{"PUT", "api/key", map[string]any{"key": b64Std("app/000"), "value": b64Std("w"), "mod": 2}},
		{"POST", "api/delete/preview", map[string]any{"key": b64Std("app/"), "prefix": true}},
		{"POST", "api/delete", map[string]any{
			"key": b64Std("app/"), "prefix": true, "revision": v.Revision, "count": v.Count, "typed": b64Std("app/"),
		}},
		{"POST", "api/delete", map[string]any{"keys": []any{map[string]any{"key": b64Std("app/001"), "mod": 2}}}},
		{"POST", "api/export", map[string]any{"prefix": b64Std("app/")}},
		{"POST", "api/import", body},
		{"POST", "api/access/plan", map[string]any{"action": "user-grant", "user": "ann", "role": "app"}},
		{"GET", "api/services?base=app/", nil},
	} {
		var e failure
		status := p.call(c.method, c.path, c.body, &e)
		if status != http.StatusForbidden || !strings.Contains(e.Error, "permission denied") {
			t.Errorf("%s %s: status %d, %+v", c.method, c.path, status, e)
		}
	}
	for _, ch := range log.take() {
		if ch.User == "ann" && ch.Outcome != console.Asked && ch.Outcome != console.Failed {
			t.Errorf("%+v", ch)
		}
	}
	var c struct{ Count int64 }
	if boss.get("api/count?prefix="+b64("app/"), &c); c.Count != 151 {
		t.Errorf("%d keys", c.Count)
	}

	// A permission that comes back starts the watch again.
	access(map[string]any{"action": "user-grant", "user": "ann", "role": "app"})
	clienttest.Await(t, "the watch goes on", func() bool {
		bossPut("app/open", fmt.Sprint(len(keys)))
		keys[fmt.Sprint(len(keys))] = ""
		b, _ := p.next(events, "watch")
		return len(b.Changes) > 0 && string(b.Changes[len(b.Changes)-1].Key) == "app/open"
	})
	stop()
	// The user is deleted.
	access(map[string]any{"action": "user-delete", "user": "ann"})
	bossPut("app/secret", "not for ann either")
	e := p.refused("GET", "api/key?key="+b64("app/secret"), nil, http.StatusUnauthorized, "sign_in")
	if !strings.Contains(e.Error, "does not accept this user") {
		t.Errorf("%+v", e)
	}
	p.refused("GET", "api/count", nil, http.StatusUnauthorized, "sign_in") // the session has ended
}
