package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// BenchmarkConsoleMemory prints the most memory that "fairlead console" takes on a cluster with a
// million keys and 10,000 instances while a client requests all its pages. The goal is 128 MiB.
func BenchmarkConsoleMemory(b *testing.B) {
	const keys, services, each = 1_000_000, 1000, 10
	cluster := etcdtest.Start(b, etcdtest.Options{})
	client := clienttest.Dial(b, cluster.Endpoints()...)
	all := func(yield func(string, string) bool) {
		for i := range keys {
			if !yield(fmt.Sprintf("data/%03d/%04d", i/1000, i%1000), strings.Repeat("v", 100)) {
				return
			}
		}
		for i := range services * each {
			s := fmt.Sprintf("s%d", i/each)
			if !yield(instance(s, fmt.Sprint(i%each), fmt.Sprintf("10.%d.%d.%d:80", i/65536, i/256%256, i%256))) {
				return
			}
		}
	}
	if _, err := client.PutAll(clienttest.Within(b, 5*time.Minute), all); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c := startConsole(b, cluster.Endpoints()[0])
		b.ReportMetric(c.peak(), "MiB-at-start")
		stop := c.follow("api/stream?overview=1&watch=&notice=ZGF0YS8") // all keys, and those below data/
		for _, path := range []string{
			"overview", "memory", "memory?span=day", "tree?limit=1000", "tree?prefix=ZGF0YS8&separator=Lw&limit=1000",
			"count",
			"services", "leases", "locks", "access", "audit", "prefixes?weigh=1", "key?key=ZGF0YS8wMDAvMDAwMA",
			"history?key=ZGF0YS8wMDAvMDAwMA", "search?text=MDk5OQ", "search?text=dnZ2&values=1",
		} {
			begin := time.Now()
			n := c.read("api/" + path)
			b.Logf("%s: %d bytes after %v; at most %.1f MiB so far", path, n, time.Since(begin).Round(time.Millisecond),
				c.peak())
		}
		for i := range 1000 { // changes that the stream passes on
			put(b, client, "data/changes", fmt.Sprint(i))
		}
		b.ReportMetric(c.peak(), "MiB-at-most")
		stop()
		c.end()
	}
}

// consoleProc is the program as "fairlead console", and a user's session.
type consoleProc struct {
	t      testing.TB
	cmd    *exec.Cmd
	base   string
	web    *http.Client
	secret string
}

func startConsole(t testing.TB, endpoint string) *consoleProc {
	t.Helper()
	c := &consoleProc{t: t, cmd: exec.Command(program, "--endpoints", endpoint, "console", "--listen", "127.0.0.1:0")}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // it may have ended
	var said strings.Builder
	link := regexp.MustCompile(`(http://\S+)/\?token=(\S+)`)
	var m []string
	for buf := make([]byte, 4096); m == nil; m = link.FindStringSubmatch(said.String()) {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v after %s", err, said.String())
		}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.base, c.web = m[1], &http.Client{Jar: jar, Transport: &http.Transport{}}
	t.Cleanup(c.web.CloseIdleConnections)
	resp, err := c.web.Post(c.base+"/api/session", "application/json", strings.NewReader(`{"token":"`+m[2]+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var in struct{ Secret string }
	if err := json.NewDecoder(resp.Body).Decode(&in); err != nil || in.Secret == "" {
		t.Fatalf("signing in: status %d, %v", resp.StatusCode, err)
	}
	c.secret = in.Secret
	return c
}

func (c *consoleProc) get(ctx context.Context, path string) *http.Response {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Fairlead-Session", c.secret)
	resp, err := c.web.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body) // it is only for the message
		c.t.Fatalf("%s: status %d, %s", path, resp.StatusCode, text)
	}
	return resp
}

// read returns the number of bytes in the answer to a request.
func (c *consoleProc) read(path string) int64 {
	c.t.Helper()
	resp := c.get(clienttest.Within(c.t, clienttest.Long), path)
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// follow reads a stream until the returned function is called.
func (c *consoleProc) follow(path string) (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	resp := c.get(ctx, path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, resp.Body) // it ends with the context
		resp.Body.Close()
	}()
	return func() { cancel(); <-done }
}

// peak returns the most memory in MiB that the process has had.
func (c *consoleProc) peak() float64 {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		c.t.Fatalf("no VmHWM in %s", text)
	}
	kb, _ := strconv.ParseFloat(string(m[1]), 64) // the pattern matches numbers only
	return kb / 1024
}

func (c *consoleProc) end() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("it ended with %v", err)
	}
}
