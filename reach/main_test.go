package reach

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// program is the fairlead command, built once.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	for _, name := range []string{"prometheus", "haproxy", "nginx", "unbound", "dig", "curl", "php", "ip", "unshare"} {
		if _, err := exec.LookPath(name); err != nil {
			fmt.Fprintf(
				os.Stderr,
				"these tests need Debian's packages prometheus, haproxy, nginx, unbound, bind9-dnsutils, curl, "+
					"php-cli, iproute2 and util-linux: %v\n",
				err,
			)
			return 1
		}
	}
	if err := clients(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "fairlead-reach-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "fairlead")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "cmd", "fairlead")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a program that a test runs.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// launch starts a program, which ends at the latest with the test.
func launch(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(name), cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, p.said())
		}
	})
	return p
}

// end sends a signal and waits until the program has ended.
func (p *process) end(s syscall.Signal) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(s) // or it has ended already
	select {
	case <-p.done:
	case <-time.After(clienttest.Long):
		p.t.Errorf("%s does not end", p.name)
		_ = p.cmd.Process.Kill()
	}
}

// agent is a running "fairlead agent" with files in a directory.
type agent struct {
	*process
	dns, http string
}

func startAgent(t testing.TB, c *etcdtest.Cluster, args ...string) *agent {
	t.Helper()
	args = append([]string{"agent", "--endpoints", strings.Join(c.Endpoints(), ",")}, args...)
	a := &agent{process: launch(t, program, args...)}
	find := func(pattern string) (found string) {
		clienttest.Await(t, "the agent says where it is", func() bool {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(a.said()); m != nil {
				found = m[1]
			}
			return found != ""
		})
		return found
	}
	for i := range args {
		switch args[i] {
		case "--dns":
			a.dns = find(`on (\S+), UDP and TCP`)
		case "--http":
			a.http = find(`serving (http://\S+)`)
		}
	}
	return a
}

// port returns a port that nobody listens on.
func port(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// get returns the body of an answer with status 200, otherwise an empty string.
func get(t testing.TB, url string) string {
	t.Helper()
	q, err := http.NewRequestWithContext(clienttest.Within(t, clienttest.Long), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return ""
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

func decode(t testing.TB, text string, into any) bool {
	t.Helper()
	return json.Unmarshal([]byte(text), into) == nil
}

// register registers an instance until the test ends.
func register(
	t testing.TB,
	client *clientv3.Client,
	in discovery.Instance,
	opts ...discovery.RegistrarOption,
) *discovery.Registration {
	t.Helper()
	r := discovery.NewRegistrar(client, opts...)
	t.Cleanup(func() { r.Close() })
	g, err := r.Register(clienttest.Within(t, clienttest.Long), in)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// backend is a service's process: it answers with its id, and ends when its calls have ended.
func backend(t testing.TB, id string) (address string, stop func()) {
	t.Helper()
	return backendAt(t, "127.0.0.1:0", id)
}

func backendAt(t testing.TB, at, id string) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, id) })}
	go func() { _ = s.Serve(l) }()
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
		defer cancel()
		_ = s.Shutdown(ctx)
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}
