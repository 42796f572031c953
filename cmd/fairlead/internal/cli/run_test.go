package cli

import (
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// webServer makes this program a server for TestRun: it answers on an address, with 503 at first,
// and prints how it ends.
const webServer = "FAIRLEAD_TEST_WEB"

func init() {
	addr := os.Getenv(webServer)
	if addr == "" {
		return
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		panic(err)
	}
	calls := 0
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	end := make(chan os.Signal, 1)
	notifyTermination(end)
	<-end
	os.Stdout.WriteString("the program ends in order\n")
	os.Exit(7)
}

func TestRun(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "web"), "/", "-")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	t.Setenv(webServer, addr)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := startCommand(
		t,
		c,
		"run",
		"--service",
		s,
		"--id",
		"one",
		"--addr",
		addr,
		"--check",
		"http://"+addr+"/",
		"--check-every",
		"300ms",
		"--drain",
		"100ms",
		"--",
		self,
	)
	b.await(": up")
	c.want("one "+addr+" up\n", "svc", "ls", s)
	b.end(syscall.SIGTERM, 7)
	if out, _ := b.text(); !strings.Contains(out, "the program ends in order") {
		t.Errorf("output %q", out)
	}
	c.want("", "svc", "ls", s)
}

// A program that was moved to another machine waits for its id while the old record has it.
func TestRunTakenID(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "web"), "/", "-")
	old := startCommand(t, c, "svc", "register", s, "--id", "one", "--addr", "10.0.0.1:80", "--drain", "100ms")
	old.await("registered")
	b := startCommand(
		t,
		c,
		"run",
		"--service",
		s,
		"--id",
		"one",
		"--addr",
		"10.0.0.2:80",
		"--drain",
		"50ms",
		"--",
		"sleep",
		"60",
	)
	b.await("taken")
	c.want("one 10.0.0.1:80 up\n", "svc", "ls", s)
	old.end(syscall.SIGTERM, 143)
	b.await(": up\n")
	c.want("one 10.0.0.2:80 up\n", "svc", "ls", s)
	b.end(syscall.SIGTERM, 143)
	c.want("", "svc", "ls", s)
}

// A program serves while it drains; if it ends meanwhile, the command does not wait any longer.
func TestRunServesWhileDraining(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "web"), "/", "-")
	long := startCommand(
		t,
		c,
		"run",
		"--service",
		s,
		"--id",
		"long",
		"--addr",
		"10.0.0.1:80",
		"--serve",
		"1s",
		"--",
		"sleep",
		"60",
	)
	short := startCommand(
		t,
		c,
		"run",
		"--service",
		s,
		"--id",
		"short",
		"--addr",
		"10.0.0.2:80",
		"--serve",
		"1h",
		"--drain",
		"1h",
		"--",
		"sleep",
		"3",
	)
	long.await(": up")
	short.await(": up")
	began := time.Now()
	long.end(syscall.SIGTERM, 143)
	if took := time.Since(began); took < time.Second {
		t.Errorf("it ended after %v", took)
	}
	short.end(syscall.SIGTERM, 0)
	c.want("", "svc", "ls", s)
}

// A program that ends by itself is deregistered at once, and the command ends with its status.
func TestRunEndsByItself(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "web"), "/", "-")
	startCommand(t, c, "run", "--service", s, "--addr", "10.0.0.1:80", "--", "sh", "-c", "exit 5").ended(5)
	startCommand(t, c, "run", "--service", s, "--addr", "10.0.0.1:80", "--", "sh", "-c", "kill -9 $$").ended(137)
	b := startCommand(
		t,
		c,
		"run",
		"--service",
		s,
		"--addr",
		"10.0.0.1:80",
		"--grace",
		"200ms",
		"--drain",
		"50ms",
		"--",
		"sh",
		"-c",
		"trap '' TERM; echo began; while :; do sleep 0.05; done",
	)
	b.await("began")
	b.await(": up")
	b.end(syscall.SIGTERM, 137)
	if _, err := b.text(); !strings.Contains(err, "killed") {
		t.Errorf("%s", err)
	}
	c.want("", "svc", "ls", s)
}
