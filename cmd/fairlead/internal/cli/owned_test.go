package cli

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// until runs a command until its output contains a text, calls do then, and returns the result.
func until(c *cmd, text string, do func(out string, interrupt func()), args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	out := &onLine{line: text}
	out.do = func() { do(out.String(), func() { interrupt(command.InterruptedError{Signal: 2}) }) }
	var errOut clienttest.Buffer // a program writes to it too
	code := c.runIn(ctx, out, &errOut, args...)
	return result{out.String(), errOut.String(), code}
}

func TestLock(t *testing.T) {
	c := shared(t)
	k := key(t, "l")
	// The program's environment describes the ownership, its exit code is passed on, and the lock
	// is free afterwards.
	r := c.run(
		"lock",
		k,
		"--",
		"sh",
		"-c",
		`echo "$ETCD_LOCK_KEY $ETCD_LOCK_REV $FAIRLEAD_FENCING_TOKEN $FAIRLEAD_OWNER_KEY $FAIRLEAD_LEASE"; exit 7`,
	)
	words := strings.Fields(r.out)
	if r.code != 7 || len(words) != 5 || words[0] != words[3] || words[1] != words[2] ||
		words[0] != k+"/"+strings.TrimLeft(words[4], "0") {
		t.Errorf("%+v", r)
	}
	c.want("", "get", "--prefix", k)
	c.want("", "lock", k, "true")
	c.wantFailure(127, "nosuchprogram", "lock", k, "nosuchprogram")
	c.wantFailure(126, "permission denied", "lock", k, "/etc/passwd")
	c.wantFailure(command.ExitUsage, "--ttl", "lock", "--ttl", "0", k)
	c.want("", "get", "--prefix", k)

	// Without a program the lock is held until an interrupt, and no key is left.
	r = until(c, "\n\n", func(_ string, interrupt func()) { interrupt() }, "lock", k)
	if r.code != 130 || r.err != "" || !regexp.MustCompile(`^`+k+`/[0-9a-f]+\n\n$`).MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	c.want("", "get", "--prefix", k)
}

// A lock command that is interrupted while it waits leaves no key.
func TestLockInterruptedWhileWaiting(t *testing.T) {
	c := shared(t)
	k := key(t, "l")
	r := until(c, "\n\n", func(_ string, done func()) {
		defer done()
		ctx, interrupt := context.WithCancelCause(t.Context())
		defer interrupt(nil)
		go func() {
			for ctx.Err() == nil {
				if two := c.run("get", "--prefix", "--count-only", k); two.out == "2\n" {
					interrupt(command.InterruptedError{Signal: 2})
				}
			}
		}()
		var out, errOut bytes.Buffer
		if code := c.runIn(ctx, &out, &errOut, "lock", k); code != 130 || out.Len()+errOut.Len() > 0 {
			t.Errorf("the waiting one: code %d, %s%s", code, &out, &errOut)
		}
		c.want("1\n", "get", "--prefix", "--count-only", k)
	}, "lock", k)
	if r.code != 130 {
		t.Errorf("%+v", r)
	}
	c.want("0\n", "get", "--prefix", "--count-only", k)
}

// When the ownership is lost, the program gets SIGTERM, and SIGKILL if it does not end.
func TestOwnershipLost(t *testing.T) {
	c := shared(t)
	for name, program := range map[string]string{
		"listens": `trap 'echo told; exit 0' TERM; echo started; while :; do sleep 0.05; done`,
		"deaf":    `trap '' TERM; echo started; while :; do sleep 0.05; done`,
	} {
		k, grace := key(t, name), patience
		if name == "deaf" {
			grace = 200 * time.Millisecond
		}
		r := until(c, "started\n", func(string, func()) {
			c.want("1\n", "del", "--prefix", k)
		}, "lock", "--grace", grace.String(), k, "--", "sh", "-c", program)
		if r.code != command.ExitLost || !strings.Contains(r.err, "ownership is lost") {
			t.Errorf("%s: %+v", name, r)
		}
		if told := strings.Contains(r.out, "told"); told != (name == "listens") {
			t.Errorf("%s: %+v", name, r)
		}
		if killed := strings.Contains(r.err, "killed"); killed != (name == "deaf") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	c.wantFailure(command.ExitUsage, "--grace must not be negative", "lock", "--grace", "-1s", key(t, "bad"))
	k := key(t, "without")
	r := until(c, "\n\n", func(string, func()) { c.want("1\n", "del", "--prefix", k) }, "lock", k)
	if r.code != command.ExitLost {
		t.Errorf("%+v", r)
	}
}

// An interrupted lock command ends the program first, and then releases the lock.
func TestLockInterrupted(t *testing.T) {
	c := shared(t)
	k := key(t, "l")
	r := until(c, "started\n", func(_ string, interrupt func()) { interrupt() },
		"lock", k, "--", "sh", "-c", `trap 'echo told; exit 0' INT; echo started; while :; do sleep 0.05; done`)
	if r.code != 130 || !strings.HasSuffix(r.out, "told\n") {
		t.Errorf("%+v", r)
	}
	c.want("", "get", "--prefix", k)
}

func TestElect(t *testing.T) {
	c := shared(t)
	k := key(t, "e")
	r := c.run("elect", k, "me", "--", "sh", "-c", `echo "$FAIRLEAD_OWNER_KEY $FAIRLEAD_FENCING_TOKEN"; exit 3`)
	if r.code != 3 || !strings.HasPrefix(r.out, k+"/") || len(strings.Fields(r.out)) != 2 {
		t.Errorf("%+v", r)
	}
	c.wantFailure(127, "/nosuch/program", "elect", k, "me", "--", "/nosuch/program")
	c.wantFailure(command.ExitUsage, "a program needs a proposal", "elect", k, "--", "true")
	// One process leads, another observes.
	r = until(c, "\nv\n", func(leads string, done func()) {
		defer done()
		for _, args := range [][]string{{"elect", "-l", k}, {"elect", k}} {
			heard := until(c, "\nv\n", func(_ string, interrupt func()) { interrupt() }, args...)
			if heard.code != 130 || heard.out != leads {
				t.Errorf("%q: %+v, want %s", args, heard, leads)
			}
		}
	}, "elect", k, "v")
	if r.code != 130 || !regexp.MustCompile(`^`+k+`/[0-9a-f]+\nv\n$`).MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	c.want("", "get", "--prefix", k)
}
