package console_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

type accessPlan struct {
	Title             string
	Effects, Warnings []string
	Seen              uint64
}

// TestUsersAndRolesAreChanged makes each change after its plan was shown.
func TestUsersAndRolesAreChanged(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	withUsers(t, client)
	var log recorder
	p := serve(
		t,
		client,
		console.WithAudit(log.record),
		console.WithLogin(
			console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()}),
		),
	)
	p.signInWith(map[string]string{"user": "root", "password": "r"})
	plan := func(change map[string]any) (out accessPlan) {
		t.Helper()
		if status := p.call("POST", "api/access/plan", change, &out); status != http.StatusOK || out.Title == "" ||
			len(out.Effects) == 0 ||
			out.Seen == 0 {
			t.Fatalf("%v: status %d, %+v", change, status, out)
		}
		return out
	}
	do := func(change map[string]any, says string) {
		t.Helper()
		shown := plan(change)
		if !strings.Contains(strings.Join(append(shown.Effects, shown.Warnings...), " "), says) {
			t.Errorf("%v: %+v", change, shown)
		}
		with := maps.Clone(change)
		with["seen"] = shown.Seen
		if status := p.call("POST", "api/access", with, nil); status != http.StatusNoContent {
			t.Fatalf("%v: status %d", change, status)
		}
	}
	may := func(key, end, kind string) map[string]any {
		return map[string]any{"key": b64Std(key), "end": b64Std(end), "type": kind}
	}
	do(map[string]any{"action": "role-add", "role": "ops"}, "has no permissions at first")
	do(
		map[string]any{"action": "role-grant", "role": "ops", "may": may("ops/", "ops0", "READ")},
		"may read all keys that begin with ops/",
	)
	do(
		map[string]any{"action": "role-grant", "role": "ops", "may": may("ops/", "ops0", "READWRITE")},
		"replaces: read all keys that begin with ops/",
	)
	do(map[string]any{"action": "user-add", "user": "bo", "password": "b"}, "no roles at first")
	do(map[string]any{"action": "user-add", "user": "cert"}, "only authenticate by a certificate")
	do(map[string]any{"action": "user-grant", "user": "bo", "role": "ops"},
		"read and write all keys that begin with ops/")
	as := func(user, password, key string) int {
		t.Helper()
		q := serve(
			t,
			client,
			console.WithLogin(
				console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()}),
			),
		)
		q.signInWith(map[string]string{"user": user, "password": password})
		return q.call("PUT", "api/key", map[string]any{"key": b64Std(key), "value": "", "mod": 0}, nil)
	}
	if got := as("bo", "b", "ops/1"); got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	do(map[string]any{"action": "user-password", "user": "bo", "password": "new"}, "old password")
	if got := as("bo", "new", "app/1"); got != http.StatusForbidden {
		t.Errorf("status %d", got)
	}
	// Another client changes users and roles meanwhile.
	change := map[string]any{"action": "user-revoke", "user": "bo", "role": "ops"}
	change["seen"] = plan(change).Seen
	do(
		map[string]any{"action": "role-revoke", "role": "ops", "may": may("ops/", "ops0", "READWRITE")},
		"may no longer read and write all keys that begin with ops/",
	)
	p.refused("POST", "api/access", change, http.StatusConflict, "conflict")
	if got := as("bo", "new", "ops/2"); got != http.StatusForbidden {
		t.Errorf("status %d", got)
	}
	do(map[string]any{"action": "role-delete", "role": "ops"}, "These users lose it: bo")
	do(map[string]any{"action": "user-delete", "user": "bo"}, "nothing any more")

	for _, bad := range []struct {
		change map[string]any
		status int
		code   string
	}{
		{map[string]any{"action": "nonsense"}, 400, "bad_request"},
		{map[string]any{"action": "user-add", "user": "a:b"}, 400, "bad_request"},
		{map[string]any{"action": "user-add", "user": ""}, 400, "bad_request"},
		{map[string]any{"action": "user-add", "user": "ann"}, 409, "refused"},
		{map[string]any{"action": "user-delete", "user": "nobody"}, 409, "refused"},
		{map[string]any{"action": "user-delete", "user": "root"}, 409, "refused"},
		{map[string]any{"action": "user-revoke", "user": "root", "role": "root"}, 409, "refused"},
		{map[string]any{"action": "user-grant", "user": "ann", "role": "none"}, 409, "refused"},
		{map[string]any{"action": "user-password", "user": "ann"}, 400, "bad_request"},
		{map[string]any{"action": "role-delete", "role": "root"}, 409, "refused"},
		{map[string]any{"action": "role-grant", "role": "app", "may": may("", "", "READ")}, 400, "bad_request"},
		{map[string]any{"action": "role-grant", "role": "app", "may": may("b", "a", "READ")}, 400, "bad_request"},
		{map[string]any{"action": "role-grant", "role": "app", "may": may("b", "", "OWN")}, 400, "bad_request"},
		{map[string]any{"action": "role-revoke", "role": "app", "may": may("nosuch", "", "READ")}, 409, "refused"},
	} {
		p.refused("POST", "api/access/plan", bad.change, bad.status, bad.code)
		p.refused("POST", "api/access", bad.change, bad.status, bad.code)
	}
	all := log.take()
	for _, c := range all {
		if strings.Contains(c.Before+c.After+c.Target, "new") {
			t.Errorf("a password is in the log: %+v", c)
		}
	}
	var recorded []string
	for i, c := range all {
		// Both lines say all: the console may end before the second one is written.
		recorded = append(recorded, c.Action+", "+c.Target+": "+c.Before+" -> "+c.After)
		if c.User != "root" || c.From == "" || c.Time.IsZero() || i%2 == 1 && c.Outcome != console.Done {
			t.Errorf("%+v", c)
		}
	}
	ops := "read and write all keys that begin with ops/"
	var want []string
	for _, line := range []string{
		"role-add, role ops: does not exist -> may do nothing",
		"role-grant, role ops: has no permission for these keys -> may read all keys that begin with ops/",
		"role-grant, role ops: may read all keys that begin with ops/ -> may " + ops,
		"user-add, user bo: does not exist -> has no roles, and a password",
		"user-add, user cert: does not exist -> has no roles, and no password",
		"user-grant, user bo: has no roles -> has the roles: ops",
		"user-password, password of bo:  -> is another one",
		"role-revoke, role ops: may " + ops + " -> has no permission for these keys",
		"role-delete, role ops: users: bo; may: nothing -> does not exist",
		"user-delete, user bo: has no roles -> does not exist",
	} {
		want = append(want, line, line) // before the change, and after it
	}
	if got := strings.Join(recorded, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("recorded:\n%s", got)
	}
	// A user without the permission.
	p.signInWith(map[string]string{"user": "ann", "password": "a"})
	p.refused(
		"POST",
		"api/access/plan",
		map[string]any{"action": "role-add", "role": "mine"},
		http.StatusForbidden,
		"PermissionDenied",
	)
}
