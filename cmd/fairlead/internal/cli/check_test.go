package cli

import (
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Both checks report and judge their figures, and leave nothing behind.
func TestCheck(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]} // it compacts
	perf, scale := key(t, "perf/"), key(t, "scale/")
	r := c.run("check", "perf", "--duration", "1s", "--prefix", perf, "--auto-compact")
	if !strings.Contains(r.out, "Throughput is ") || !strings.Contains(r.out, "Stddev is ") ||
		!strings.Contains(r.out, "Slowest request took ") {
		t.Errorf("%+v", r) // the verdict depends on the machine
	}
	if (r.code == command.ExitOK) == strings.Contains(r.out, "FAIL") {
		t.Errorf("code %d and\n%s", r.code, r.out)
	}
	r = c.run("check", "datascale", "--prefix", scale, "--auto-defrag")
	if r.code != command.ExitOK || !strings.Contains(r.out, "10000 keys of 1024 bytes") ||
		!strings.Contains(r.out, "PASS: Approximate system memory used : ") ||
		!strings.Contains(r.out, "Finished defragmenting") {
		t.Errorf("%+v", r)
	}
	for _, p := range []string{perf, scale} {
		if r := c.run("get", p, "--prefix", "--keys-only"); r.out != "" {
			t.Errorf("left behind: %.200s", r.out)
		}
	}
	c.run("put", perf+"mine", "v")
	c.wantFailure(command.ExitUsage, "there are 1 keys under", "check", "perf", "--prefix", perf)
	if r := c.run("get", perf+"mine", "--print-value-only"); r.out != "v\n" {
		t.Errorf("a stranger's key: %+v", r)
	}
	c.wantFailure(command.ExitUsage, "--load is s, m, l or xl", "check", "perf", "--load", "huge")
	c.wantFailure(command.ExitUsage, "--load is s, m, l or xl", "check", "datascale", "--load", "")
	c.wantFailure(command.ExitUsage, "--prefix is not empty", "check", "perf", "--prefix", "")
	c.wantFailure(command.ExitUsage, "--duration is at least 1s", "check", "perf", "--duration", "0s")
}

// Behaviour of etcdctl that scripts use is the same here; differences are reported.
func TestAsEtcdctl(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]} // it compacts
	for _, family := range []string{
		"lease", "member", "snapshot", "check", "user", "role", "auth", "alarm", "downgrade", "endpoint",
	} {
		if r := c.run(family); r.code != command.ExitOK || !strings.Contains(r.out, "fairlead "+family+" ") ||
			r.err != "" {
			t.Errorf("%s: %+v", family, r)
		}
		c.wantFailure(command.ExitUsage, `unknown command "nosuch"`, family, "nosuch")
	}
	for _, ttl := range []string{"0", "1"} { // the server's minimum
		if r := c.run("lease", "grant", ttl); r.code != command.ExitOK ||
			!strings.HasSuffix(r.out, "granted with TTL(2s)\n") {
			t.Errorf("TTL %s: %+v", ttl, r)
		}
	}
	c.run("put", key(t, "k"), "v")
	r := c.run("get", "nothing", "-w", "fields")
	rev := fieldOf(t, r.out, `"Revision" : `)
	if r := c.run("compact", rev); r.code != command.ExitOK || r.out != "compacted revision "+rev+"\n" {
		t.Errorf("%+v", r)
	}
	if r := c.run("help", "etcdctl"); r.code != command.ExitOK || !strings.Contains(r.out, "Exit codes") {
		t.Errorf("%+v", r)
	}
	for l := range strings.Lines(etcdctlText) {
		if len(strings.TrimRight(l, "\n")) > 132 {
			t.Errorf("a long line: %s", l)
		}
	}
}

func fieldOf(t *testing.T, out, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(out, name)
	if !ok {
		t.Fatalf("no %s in %s", name, out)
	}
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
