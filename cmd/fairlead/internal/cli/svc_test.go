package cli

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// background is a command that runs until it is interrupted.
type background struct {
	t         *testing.T
	interrupt context.CancelCauseFunc
	done      chan int

	mu       sync.Mutex
	out, err bytes.Buffer // guarded by mu
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// startCommand starts a command that runs until the test's end at the latest: patience is for each
// step of a test, and a command may live through many.
func startCommand(t *testing.T, c *cmd, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ctx, interrupt := context.WithCancelCause(ctx)
	b := &background{t: t, interrupt: interrupt, done: make(chan int, 1)}
	into := func(buf *bytes.Buffer) writer {
		return func(p []byte) (int, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return buf.Write(p)
		}
	}
	go func() {
		defer cancel()
		b.done <- c.runIn(ctx, into(&b.out), into(&b.err), args...)
	}()
	t.Cleanup(func() { interrupt(nil) })
	return b
}

func (b *background) text() (out, err string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String(), b.err.String()
}

// await waits until the command has written a text to one of its outputs.
func (b *background) await(says string) {
	b.t.Helper()
	b.awaitThat(says, func() bool {
		out, err := b.text()
		return strings.Contains(out, says) || strings.Contains(err, says)
	})
}

func (b *background) awaitThat(what string, ok func() bool) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			out, err := b.text()
			b.t.Fatalf("%s: never; output\n%s\nerror\n%s", what, out, err)
		}
	}
}

// end interrupts the command and checks its status.
func (b *background) end(signal syscall.Signal, code int) {
	b.t.Helper()
	b.interrupt(command.InterruptedError{Signal: signal})
	b.ended(code)
}

func (b *background) ended(code int) {
	b.t.Helper()
	select {
	case got := <-b.done:
		if got != code {
			out, err := b.text()
			b.t.Fatalf("status %d, want %d; output\n%s\nerror\n%s", got, code, out, err)
		}
	case <-time.After(patience):
		b.t.Fatal("it does not end")
	}
}

func TestServices(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "orders"), "/", "-")
	watch := startCommand(t, c, "svc", "watch", s)
	one := startCommand(
		t,
		c,
		"svc",
		"register",
		s,
		"--id",
		"one",
		"--addr",
		"10.0.0.1:80",
		"--version",
		"v1",
		"--zone",
		"east",
		"--weight",
		"3",
		"--tag",
		"blue",
		"--meta",
		"team=x",
		"--drain",
		"100ms",
	)
	two := startCommand(t, c, "svc", "register", s, "--id", "two", "--addr", "10.0.0.2:80", "--drain", "0s")
	one.await("registered")
	two.await("registered")
	watch.await("added one 10.0.0.1:80 up")
	watch.await("added two 10.0.0.2:80 up")
	c.want("one 10.0.0.1:80 up\ntwo 10.0.0.2:80 up\n", "svc", "ls", s)
	if r := c.run("svc", "ls"); !strings.Contains(r.out, s+" 2\n") {
		t.Errorf("svc ls: %+v", r)
	}
	if r := c.run("svc", "ls", s, "-o", "table"); !strings.Contains(r.out, "blue") ||
		!strings.Contains(r.out, "WEIGHT") {
		t.Errorf("svc ls, as a table: %+v", r)
	}
	var in struct {
		ID, Version, Zone string
		Weight            int
		Metadata          map[string]string
	}
	c.json(&in, "svc", "get", s, "one")
	if in.ID != "one" || in.Version != "v1" || in.Zone != "east" || in.Weight != 3 || in.Metadata["team"] != "x" {
		t.Errorf("%+v", in)
	}
	c.wantFailure(command.ExitFailed, "no such instance", "svc", "get", s, "three")
	c.want("OK\n", "svc", "drain", s, "two")
	watch.await("updated two 10.0.0.2:80 draining weight=10")
	c.want("OK\n", "svc", "undrain", s, "two")
	watch.await("updated two 10.0.0.2:80 up weight=10")
	c.wantFailure(command.ExitFailed, "no such instance", "svc", "drain", s, "three")
	c.wantFailure(command.ExitFailed, "10.0.0.1:80", "svc", "register", s, "--id", "one", "--addr", "10.0.0.9:80")
	c.want("OK\n", "svc", "rm", s, "one")
	one.await("restored")
	one.end(syscall.SIGINT, 130)
	watch.await("removed one")
	two.end(syscall.SIGTERM, 143)
	c.want("", "svc", "ls", s)
	watch.end(syscall.SIGINT, 130)
}

// An operator's override stays in force, whatever the process does; a drain can be taken back.
func TestServiceOverrides(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "orders"), "/", "-")
	register := func() *background {
		one := startCommand(
			t,
			c,
			"svc",
			"register",
			s,
			"--id",
			"one",
			"--addr",
			"10.0.0.1:80",
			"--weight",
			"3",
			"--drain",
			"100ms",
		)
		one.await("registered")
		return one
	}
	one := register()
	watch := startCommand(t, c, "svc", "watch", s)
	watch.await("added one 10.0.0.1:80 up")
	c.want("OK\n", "svc", "drain", s, "one")
	watch.await("updated one 10.0.0.1:80 draining")
	c.want("one 10.0.0.1:80 draining maintenance\n", "svc", "ls", s)
	one.end(syscall.SIGTERM, 143) // a restart does not change it
	one = register()
	c.want("one 10.0.0.1:80 draining maintenance\n", "svc", "ls", s)
	c.want("OK\n", "svc", "undrain", s, "one")
	watch.await("updated one 10.0.0.1:80 up")
	c.wantFailure(command.ExitFailed, "no such instance", "svc", "undrain", s, "three")
	c.want("OK\n", "svc", "weight", s, "one", "50")
	watch.await("updated one 10.0.0.1:80 up weight=50")
	c.want("OK\n", "svc", "maintenance", "on", s, "one")
	c.want("one 10.0.0.1:80 draining maintenance,weight=50\n", "svc", "ls", s)
	if r := c.run("svc", "ls", s, "-o", "table"); !strings.Contains(r.out, "OVERRIDE") ||
		!strings.Contains(r.out, "weight=50") {
		t.Errorf("as a table: %+v", r)
	}
	one.end(syscall.SIGTERM, 143)
	one = register()
	type shown struct {
		ID, State string
		Weight    int
		Override  struct {
			Maintenance bool
			Weight      int
		}
	}
	var in shown
	c.json(&in, "svc", "get", s, "one")
	if in.State != "draining" || !in.Override.Maintenance || in.Override.Weight != 50 {
		t.Errorf("svc get: %+v", in)
	}
	var list []shown
	c.json(&list, "svc", "ls", s)
	if len(list) != 1 || list[0].State != "draining" || list[0].Weight != 50 || !list[0].Override.Maintenance ||
		list[0].Override.Weight != 50 {
		t.Errorf("after a restart: %+v", list)
	}
	c.want("OK\n", "svc", "maintenance", "off", s, "one")
	c.want("OK\n", "svc", "weight", s, "one", "own")
	c.want("one 10.0.0.1:80 up\n", "svc", "ls", s)
	one.end(syscall.SIGTERM, 143)
	watch.end(syscall.SIGINT, 130)
}

// Records of other systems.
func TestServiceRecords(t *testing.T) {
	c := shared(t)
	base := key(t, "svc/")
	c.want("OK\n", "put", base+"foo/1", "http://1.2.3.4:80")
	c.want("1 http://1.2.3.4:80 up\n", "svc", "ls", "foo", "--records", "raw", "--base", base)
	c.want("foo 1\n", "svc", "ls", "--records", "raw", "--base", base)
	c.want("OK\n", "put", base+"foo/2", "nonsense")
	if r := c.run("svc", "ls", "foo", "--records", "raw", "--base", base); r.code != 0 ||
		!strings.Contains(r.err, "foo/2") {
		t.Errorf("a bad record: %+v", r)
	}
	if r := c.run("svc", "ls", "--records", "raw", "--base", base); r.out != "foo 1\n" ||
		!strings.Contains(r.err, "foo/2") {
		t.Errorf("a bad record in the list: %+v", r)
	}
	c.want("OK\n", "svc", "drain", "foo", "1", "--records", "raw", "--base", base)
	r := c.run("svc", "ls", "foo", "--records", "raw", "--base", base)
	if r.out != "1 http://1.2.3.4:80 draining maintenance\n" {
		t.Errorf("drained: %+v", r)
	}
	c.want("OK\n", "svc", "undrain", "foo", "1", "--records", "raw", "--base", base)
	c.want("OK\n", "svc", "rm", "foo", "2", "--records", "raw", "--base", base)
	if r := c.run("svc", "ls", "foo", "--records", "raw", "--base", base); r.err != "" {
		t.Errorf("after rm: %+v", r)
	}
	c.wantFailure(
		command.ExitUsage,
		"only read",
		"svc",
		"register",
		"foo",
		"--addr",
		"h:1",
		"--records",
		"gozero",
		"--base",
		base,
	)
}

func TestServiceUsage(t *testing.T) {
	c := shared(t)
	for _, args := range [][]string{
		{"svc", "register"}, {"svc", "register", "s"}, {"svc", "register", "s", "--addr", "nowhere"},
		{"svc", "register", "s", "--addr", "h:1", "--meta", "x"},
		{"svc", "register", "s", "--addr", "h:1", "--ttl", "0"},
		{"svc", "register", "s", "--addr", "h:1", "--weight", "-1"},
		{"svc", "maintenance", "s", "i"}, {"svc", "maintenance", "up", "s", "i"}, {"svc", "weight", "s", "i"},
		{"svc", "weight", "s", "i", "0"}, {"svc", "weight", "s", "i", "many"},
		{"svc", "ls", "a", "b"}, {"svc", "get", "s"}, {"svc", "ls", "--records", "x"}, {"svc", "drain", "s"},
		{"svc", "rm"},
		{"run", "--service", "s", "--addr", "h:1"}, {"run", "--addr", "h:1", "--", "true"},
		{"run", "--service", "s", "--", "true"},
		{"run", "--service", "s", "--addr", "h:1", "--check", "ftp://x", "--", "true"},
		{"run", "--service", "s", "--addr", "h:1", "--check", "command:", "--", "true"},
		{"run", "--service", "s", "--addr", "h:1", "--drain", "-1s", "--", "true"},
		{"run", "--service", "s", "--addr", "h:1", "--serve", "-1s", "--", "true"},
		{"run", "--service", "s", "--addr", "h:1", "--grace", "-1s", "--", "true"},
		{"svc", "register", "s", "--addr", "h:1", "--drain", "-1s"},
		{"run", "--service", "s", "--addr", "h:1", "--records", "gozero", "--", "true"},
		{"svc", "register", "s", "--addr", "h:1", "--records", "gozero"},
		{"run", "--service", "s", "--addr", "h:1", "--addr", "h:2", "--records", "raw", "--", "true"},
	} {
		if r := c.run(args...); r.code != command.ExitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
}
