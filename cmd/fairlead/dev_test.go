package main

import (
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var exportLine = regexp.MustCompile(`export ETCDCTL_ENDPOINTS=(\S+)\n`)

// startDev returns the program, ready, and its endpoints.
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
	// The usual port is taken, by us or by somebody else.
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

func TestDevKeepsData(t *testing.T) {
	for _, members := range []string{"1", "3"} {
		dir := t.TempDir() + "/data"
		p, endpoints := startDev(t, "--members", members, "--data-dir", dir)
		ctl(t, endpoints, "put", "kept", members)
		// A second one on the same data.
		if second := start(t, "dev", "--data-dir", dir); second.wait() != 1 || !strings.Contains(second.output(), "in use by another") {
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
		p, endpoints = startDev(t, "--data-dir", dir) // as many as there are
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
	// A watch under way does not keep it from ending.
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
