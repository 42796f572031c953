package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
)

var exportLine = regexp.MustCompile(`export ETCDCTL_ENDPOINTS=(\S+)\n`)

// startDev starts a cluster and returns the program, when it is ready, and its endpoints.
func startDev(t *testing.T, args ...string) (*proc, string) {
	t.Helper()
	p := start(t, append([]string{"dev"}, args...)...)
	out := p.await("Ctrl-C ends it.")
	m := exportLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no line to export:\n%s", out)
	}
	return p, m[1]
}

func (p *proc) stopDev(sig syscall.Signal) {
	p.t.Helper()
	p.signal(sig)
	if code := p.wait(); code != 0 {
		p.t.Errorf("exit status %d after %v:\n%s", code, sig, p.output())
	}
	p.wantNothingLeft(true)
}

func TestDev(t *testing.T) {
	// The usual port is in use, by this test or another program.
	if l, err := net.Listen("tcp", "127.0.0.1:2379"); err == nil {
		defer l.Close()
	}
	p, endpoints := startDev(t)
	if !strings.Contains(p.output(), "127.0.0.1:2379 is taken; infra1 (clients) uses "+endpoints+" instead.") {
		t.Errorf("nothing said of the taken port:\n%s", p.output())
	}
	if got := ctl(t, endpoints, "put", "k", "v"); got != "OK\n" {
		t.Errorf("put printed %s", got)
	}
	if got := ctl(t, endpoints, "member", "list"); strings.Count(got, "\n") != 1 {
		t.Errorf("members:\n%s", got)
	}
	p.stopDev(syscall.SIGTERM)
}

// pairOfPorts returns a free port whose next one is free too; the system gives neither to programs
// that ask for any port.
func pairOfPorts(t *testing.T) int {
	t.Helper()
	for port := 20000 + 2*(os.Getpid()%3000); port < 32000; port += 2 {
		a, errA := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		b, errB := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port+1))
		for _, l := range []net.Listener{a, b} {
			if l != nil {
				l.Close()
			}
		}
		if errA == nil && errB == nil {
			return port
		}
	}
	t.Fatal("no two free ports")
	return 0
}

// TestDevPort: the chosen ports are used, or the command fails.
func TestDevPort(t *testing.T) {
	port := pairOfPorts(t)
	p, endpoints := startDev(t, "--port", fmt.Sprint(port))
	if endpoints != fmt.Sprint("127.0.0.1:", port) {
		t.Errorf("--port %d, and the endpoint is %s", port, endpoints)
	}
	if second := start(t, "dev", "--console", "", "--port", fmt.Sprint(port)); second.wait() != 1 ||
		!strings.Contains(second.output(), "--port") {
		t.Errorf("on the same port: %s", second.output())
	}
	p.stopDev(syscall.SIGINT)
}

func TestDevKeepsData(t *testing.T) {
	for _, members := range []string{"1", "3"} {
		dir := t.TempDir() + "/data"
		p, endpoints := startDev(t, "--members", members, "--data-dir", dir)
		ctl(t, endpoints, "put", "kept", members)
		// A second cluster on the same data.
		if second := start(t, "dev", "--data-dir", dir); second.wait() != 1 ||
			!strings.Contains(second.output(), "in use by another") {
			t.Errorf("a second cluster on the same data: %s", second.output())
		}
		p.signal(syscall.SIGINT)
		if code := p.wait(); code != 0 {
			t.Fatalf("exit status %d:\n%s", code, p.output())
		}
		if other := start(t, "dev", "--members", "2", "--data-dir", dir); other.wait() != 1 ||
			!strings.Contains(other.output(), "holds a cluster of "+members+", not of 2") {
			t.Errorf("another number of members: %s", other.output())
		}
		p, endpoints = startDev(t, "--data-dir", dir) // as many members as the data have
		if got := strings.Count(endpoints, ",") + 1; got != int(members[0]-'0') {
			t.Errorf("%d endpoints: %s", got, endpoints)
		}
		if got := ctl(t, endpoints, "get", "kept", "--print-value-only"); got != members+"\n" {
			t.Errorf("kept value: %s", got)
		}
		p.stopDev(syscall.SIGINT)
	}
}

func TestDevThreeMembers(t *testing.T) {
	p, endpoints := startDev(t, "--members", "3")
	if got := ctl(t, endpoints, "endpoint", "health"); strings.Count(got, "is healthy") != 3 {
		t.Errorf("health:\n%s", got)
	}
	// A watch does not keep the cluster from ending.
	watch := start(t, "--endpoints", endpoints, "watch", "k")
	ctl(t, endpoints, "put", "k", "seen")
	for range 100 { // the watch may start after the first put
		if strings.Contains(watch.output(), "seen") {
			break
		}
		ctl(t, endpoints, "put", "k", "seen")
	}
	watch.await("seen")
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 0 {
		t.Errorf("exit status %d:\n%s", code, p.output())
	}
	watch.signal(syscall.SIGINT)
	if code := watch.wait(); code != 130 {
		t.Errorf("watch ended with %d", code)
	}
	watch.wantNothingLeft(true)
}

// TestDevCountsOnce: three members in one process have one page of metrics, and the console counts
// each request once.
func TestDevCountsOnce(t *testing.T) {
	p, endpoints := startDev(t, "--members", "3", "--console", "127.0.0.1:0")
	defer p.stopDev(syscall.SIGINT)
	base, token, ok := strings.Cut(regexp.MustCompile(`http://\S+token=\S+`).FindString(p.output()), "/?token=")
	if !ok {
		t.Fatalf("no console:\n%s", p.output())
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Jar: jar}
	defer web.CloseIdleConnections()
	resp, err := web.Post(base+"/api/session", "application/json", strings.NewReader(`{"token":"`+token+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	var in struct{ Secret string }
	err = json.NewDecoder(resp.Body).Decode(&in)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/stream?overview=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Fairlead-Session", in.Secret)
	if resp, err = web.Do(r); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	// count returns the next count of an overview that began after the call.
	count := func() float64 {
		for since := time.Now().UnixMilli(); lines.Scan(); {
			var o struct {
				At       int64
				Requests float64
			}
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok && json.Unmarshal([]byte(text), &o) == nil &&
				o.Requests > 0 &&
				o.At >= since {
				return o.Requests
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return 0
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(endpoints, ","), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	before := count()
	const puts = 1000
	for i := range puts {
		if _, err := client.Put(ctx, fmt.Sprint("k", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	// The other requests are the console's own reads.
	if n := count() - before; n < puts || n > 1.2*puts {
		t.Errorf("%d requests were counted as %v", puts, n)
	}
}
