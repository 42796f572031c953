package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
)

// patience bounds the wait for what must happen; a loaded machine may need that long.
const patience = 60 * time.Second

// binEnv names the directory of the built programs for the namespace, where a build could download
// nothing.
const binEnv = "FAIRLEAD_EXAMPLES_BIN"

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	if os.Getenv(binEnv) == "" {
		dir, err := os.MkdirTemp("", "fairlead-examples-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := buildAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		os.Setenv(binEnv, dir)
	}
	if code, ran := isolate(); ran {
		return code
	}
	return m.Run()
}

// programs lists the directories with a program.
func programs() ([]string, error) {
	mains, err := filepath.Glob("*/main.go")
	if err != nil || len(mains) == 0 {
		return nil, fmt.Errorf("no programs here: %w", err)
	}
	var names []string
	for _, m := range mains {
		names = append(names, filepath.Dir(m))
	}
	return names, nil
}

func buildAll(dir string) error {
	names, err := programs()
	if err != nil {
		return err
	}
	build := func(in, name, pkg string) error {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		cmd.Dir = in
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
		return nil
	}
	for _, name := range names {
		if err := build(".", name, "./"+name); err != nil {
			return err
		}
	}
	return build("..", "fairlead", "./cmd/fairlead")
}

// proc is a running program whose output can be waited for.
type proc struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu      sync.Mutex
	out     bytes.Buffer  // standard output and error; guarded by mu
	changed chan struct{} // closed when out grows; guarded by mu
}

func (p *proc) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	return p.out.Write(b)
}

func start(t *testing.T, name string, args ...string) *proc {
	t.Helper()
	p := &proc{t: t, done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(os.Getenv(binEnv), name), args...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait() // ProcessState has its outcome
	}()
	return p
}

func (p *proc) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// await waits until the output, or the end of the program, satisfies cond.
func (p *proc) await(what string, cond func(out string) bool) string {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		p.mu.Lock()
		out, changed := p.out.String(), p.changed
		p.mu.Unlock()
		if cond(out) {
			return out
		}
		select {
		case <-changed:
		case <-p.done:
			p.mu.Lock()
			out = p.out.String()
			p.mu.Unlock()
			if !cond(out) {
				p.t.Fatalf("ended without %s:\n%s", what, out)
			}
		case <-limit.C:
			p.t.Fatalf("no %s after %v:\n%s", what, patience, out)
		}
	}
}

// run runs a program to its end and returns its output and exit code.
func run(t *testing.T, name string) (out string, code int) {
	t.Helper()
	p := start(t, name)
	defer p.kill()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		t.Fatalf("%s still runs after %v", name, patience)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String(), p.cmd.ProcessState.ExitCode()
}

// keyValue is one key-value in the JSON that the programs print; keys and values are in base64
// there.
type keyValue struct{ Key, Value []byte }

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func TestPrograms(t *testing.T) {
	dev := start(t, "fairlead", "dev", "--members", "3")
	defer func() {
		dev.cmd.Process.Signal(os.Interrupt)
		dev.await("end", func(string) bool {
			select {
			case <-dev.done:
				return true
			default:
				return false
			}
		})
	}()
	defer func() {
		if t.Failed() {
			t.Logf("the cluster said:\n%s", dev.await("output", func(string) bool { return true }))
		}
	}()
	dev.await("cluster", func(out string) bool {
		if strings.Contains(out, "is taken") {
			t.Fatalf(
				"the programs need the ports 2379, 22379 and 32379, which somebody else uses, and this system gives "+
					"no network namespace to run them in:\n%s",
				out,
			)
		}
		return strings.Contains(out, "Ctrl-C ends it.")
	})
	endpoints := []string{"localhost:2379", "localhost:22379", "localhost:32379"}
	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	tests := map[string]func(t *testing.T){
		"readme": func(t *testing.T) {
			out, code := run(t, "readme")
			r, err := cli.Get(ctx, "sample_key")
			if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "sample_value" {
				t.Fatalf("the program wrote %v, %v", r, err)
			}
			if want := fmt.Sprintf("written at revision %d\n", r.Kvs[0].ModRevision); code != 0 || out != want {
				t.Errorf("status %d, output %q, want %q", code, out, want)
			}
		},
		"errors": func(t *testing.T) {
			out, code := run(t, "errors")
			if code != 1 || !strings.HasSuffix(out, "client-side error: etcdserver: key is not provided\n") {
				t.Errorf("status %d, output %q", code, out)
			}
		},
		"putget": func(t *testing.T) {
			out, code := run(t, "putget")
			m := regexp.MustCompile(`^PUT RESULT: (.*)\nGET RESULT: (.*)\n$`).FindStringSubmatch(out)
			if code != 0 || m == nil {
				t.Fatalf("status %d, output %q", code, out)
			}
			var put struct{ Header struct{ Revision int64 } }
			var get struct {
				Kvs []struct {
					keyValue
					ModRevision int64 `json:"mod_revision"`
				}
				Count int
			}
			unmarshal(t, m[1], &put)
			unmarshal(t, m[2], &get)
			if get.Count != 1 || len(get.Kvs) != 1 || string(get.Kvs[0].Key) != "sample_key" ||
				string(
					get.Kvs[0].Value,
				) != "sample_value123" || put.Header.Revision == 0 || get.Kvs[0].ModRevision != put.Header.Revision {
				t.Errorf("put %+v, get %+v", put, get)
			}
		},
		"watch": func(t *testing.T) {
			p := start(t, "watch")
			defer p.kill() // otherwise it would watch forever
			// The program does not show when its watch begins, so put values until one arrives.
			stop := make(chan struct{})
			puts := make(chan error, 1)
			go func() {
				puts <- func() error {
					for i := 0; ; i++ {
						if _, err := cli.Put(ctx, "sample_key", fmt.Sprint("seen", i)); err != nil {
							return err
						}
						select {
						case <-stop:
							return nil
						default:
						}
					}
				}()
			}()
			out := p.await("event", func(out string) bool { return strings.Count(out, "\n") >= 2 })
			close(stop)
			if err := <-puts; err != nil {
				t.Fatal(err)
			}
			last := ""
			for _, line := range strings.Split(out, "\n")[:2] {
				var resp struct {
					Events   []struct{ Kv keyValue }
					Canceled bool
				}
				unmarshal(t, line, &resp)
				if len(resp.Events) == 0 || resp.Canceled {
					t.Fatalf("no event in %s", line)
				}
				for _, e := range resp.Events {
					v, isSeen := strings.CutPrefix(string(e.Kv.Value), "seen")
					if string(e.Kv.Key) != "sample_key" || !isSeen || v == last {
						t.Errorf("event %s=%s after %s", e.Kv.Key, e.Kv.Value, last)
					}
					last = v
				}
			}
		},
	}
	tests["election"] = func(t *testing.T) {
		first := start(t, "election", "node1")
		defer first.kill()
		first.await("leadership", func(out string) bool { return strings.Contains(out, "I'm leader\n") })
		second := start(t, "election", "node2")
		defer second.kill()
		candidates := func() []string {
			r, err := cli.Get(
				ctx,
				"/testelection/",
				clientv3.WithPrefix(),
				clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend),
			)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, kv := range r.Kvs {
				names = append(names, string(kv.Value))
			}
			return names
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ; len(candidates()) < 2; <-tick.C {
			if ctx.Err() != nil {
				t.Fatal("the second is no candidate")
			}
		}
		second.await("patience", func(out string) bool { return !strings.Contains(out, "leader") })
		r, err := cli.Get(ctx, "/testelection/", clientv3.WithFirstCreate()...)
		if err != nil || string(r.Kvs[0].Value) != "node1" {
			t.Fatalf("%v, %v", r, err)
		}
		lease, err := cli.TimeToLive(ctx, clientv3.LeaseID(r.Kvs[0].Lease))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		first.kill()
		second.await("leadership", func(out string) bool { return strings.Contains(out, "I'm leader\n") })
		t.Logf("taken over %v after the leader's death, with a TTL of %d s", time.Since(began), lease.GrantedTTL)
		if names := candidates(); len(names) != 1 || names[0] != "node2" {
			t.Errorf("candidates %v", names)
		}
	}
	tests["naming"] = func(t *testing.T) {
		out, code := run(t, "naming")
		want := `A is registered: calls go to A
B is registered too: calls go to A B
C is registered under a lease: calls go to A B C
the lease has run out: calls go to A B
A is withdrawn: calls go to B
B is withdrawn: calls fail at once, rpc error: code = Unavailable desc = `
		if code != 0 || !strings.HasPrefix(out, want) {
			t.Errorf("status %d, output:\n%s", code, out)
		}
	}
	names, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		test, ok := tests[name]
		if !ok {
			t.Errorf("nothing tests the program %s", name)
			continue
		}
		t.Run(name, test)
	}
	if len(names) != len(tests) {
		t.Error("tests without a program")
	}
}
