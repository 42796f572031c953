package cli

import (
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestUsersAndRoles(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]}
	c.same("simple json", "auth", "status")
	// Ours makes and undoes the changes that etcdctl has made and undone, with the same output.
	for _, step := range [][2]string{
		{"role add r", "role delete r"},
		{"user add u:p", "user delete u"},
		{"user add v --no-password", "user delete v"},
		{"user add w --new-user-password p", "user delete w"},
		{"user grant-role u r", "user revoke-role u r"},
		{"role grant-permission r readwrite foo", "role revoke-permission r foo"},
		{"role grant-permission r read /a /b", "role revoke-permission r /a /b"},
		{"role grant-permission r write /c --prefix", "role revoke-permission r /c --prefix"},
		{"role grant-permission r write /zz --from-key", "role revoke-permission r /zz --from-key"},
	} {
		do, undo := strings.Fields(step[0]), strings.Fields(step[1])
		done := c.official(do...)
		undone := c.official(undo...)
		c.sameAs(done, do...)
		c.sameAs(undone, undo...)
		if r := c.run(do...); r.code != command.ExitOK {
			t.Fatalf("%q again: %s", do, r.err)
		}
	}
	c.want("Role r updated\n", "role", "grant-permission", "r", "readwrite", "", "--prefix")
	c.want("Role other created\n", "role", "add", "other")
	c.want("Role other is granted to user u\n", "user", "grant-role", "u", "other")
	c.same(textFormats, "role", "list")
	c.same(allFormats, "role", "get", "r")
	c.same("simple json protobuf", "user", "list")
	c.same("simple json", "user", "get", "u")
	c.same("simple", "user", "get", "u", "--detail")
	c.same("simple", "user", "get", "nosuch")
	c.same("simple", "role", "add", "r")
	c.with("secret\n").want("User x created\n", "user", "add", "x", "--interactive=false")
	c.with("changed\n").want("Password updated\n", "user", "passwd", "x", "--interactive=false")
	c.with("\n").wantFailure(command.ExitUsage, "no password", "user", "passwd", "x", "--interactive=false")
	c.wantFailure(command.ExitUsage, "exclude each other", "user", "add", "y:z", "--no-password")
	for _, f := range []string{"table", "yaml", "fields"} {
		for _, args := range []string{
			"user list", "user get u", "user get u --detail", "role list", "role get r", "auth status",
		} {
			if r := c.run(append(strings.Fields(args), "-w", f)...); r.code != command.ExitOK || r.out == "" {
				t.Errorf("%s -w %s: %+v", args, f, r)
			}
		}
	}
}

func TestAuth(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]}
	c.same("simple", "auth", "enable") // refused: there is no root
	c.want("OK\n", "put", "a", "1")
	c.want("User root created\n", "user", "add", "root:secret")
	c.want("User guest created\n", "user", "add", "guest:g")
	c.want("Authentication Enabled\n", "auth", "enable") // and grants root its role
	c.want("a\n1\n", "--user", "root:secret", "get", "a")
	c.want("a\n1\n", "--user", "root", "--password", "secret", "get", "a")
	withEnv := &cmd{t: t, endpoint: c.endpoint, env: map[string]string{"ETCDCTL_USER": "root:secret"}}
	withEnv.want("a\n1\n", "get", "a")
	withEnv.same("simple", "get", "a", "--user", "root:secret")
	c.same("simple", "get", "a")
	c.wantFailure(command.ExitFailed, "user name is empty", "get", "a")
	c.wantFailure(command.ExitFailed, "authentication failed", "--user", "root:wrong", "get", "a")
	c.wantFailure(command.ExitFailed, "authentication failed", "--user", "nobody:secret", "put", "a", "b")
	c.wantFailure(command.ExitFailed, "permission denied", "--user", "guest:g", "get", "a")
	c.wantFailure(command.ExitUsage, "no password", "--user", "root", "get", "a") // nor does standard input give one
	c.with("secret").want("a\n1\n", "--user", "root", "get", "a")
	c.with("secret\r\nrest").want("a\n1\n", "--user", "root", "get", "a")
	c.with("wrong\n").wantFailure(command.ExitFailed, "authentication failed", "--user", "root", "get", "a")
	c.with("p\np\n").want("User two created\n", "--user", "root:secret", "user", "add", "two")
	c.want("Role root is granted to user two\n", "--user", "root:secret", "user", "grant-role", "two", "root")
	c.want("a\n1\n", "--user", "two:p", "get", "a")
	c.with("p\nq\n").wantFailure(command.ExitUsage, "differ", "--user", "root:secret", "user", "passwd", "two")
	c.with("p\n").wantFailure(command.ExitUsage, "differ", "--user", "root:secret", "user", "passwd", "two")
	c.wantFailure(command.ExitFailed, "authentication failed", "--user", "root:wrong", "lock", "l")
	c.wantFailure(
		command.ExitFailed,
		"permission denied",
		"--user",
		"guest:g",
		"svc",
		"ls",
		"s",
	) // at once, not after the time limit
	c.wantFailure(command.ExitFailed, "permission denied", "--user", "guest:g", "svc", "get", "s", "i")
	c.want("Authentication Disabled\n", "--user", "root:secret", "auth", "disable")
	c.want("a\n1\n", "get", "a")
}
