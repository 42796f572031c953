package cli

import (
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Both checks write what they say, judge it, and leave nothing behind.
func TestCheck(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]} // it compacts
	perf, scale := key(t, "perf/"), key(t, "scale/")
	r := c.run("check", "perf", "--duration", "1s", "--prefix", perf, "--auto-compact")
	if !strings.Contains(r.out, "Throughput is ") || !strings.Contains(r.out, "Stddev is ") || !strings.Contains(r.out, "Slowest request took ") {
		t.Errorf("%+v", r) // the verdict is the machine's
	}
	if (r.code == exitOK) == strings.Contains(r.out, "FAIL") {
		t.Errorf("code %d and\n%s", r.code, r.out)
	}
	r = c.run("check", "datascale", "--prefix", scale, "--auto-defrag")
	if r.code != exitOK || !strings.Contains(r.out, "10000 keys of 1024 bytes") || !strings.Contains(r.out, "PASS: Approximate system memory used : ") ||
		!strings.Contains(r.out, "Finished defragmenting") {
		t.Errorf("%+v", r)
	}
	for _, p := range []string{perf, scale} {
		if r := c.run("get", p, "--prefix", "--keys-only"); r.out != "" {
			t.Errorf("left behind: %.200s", r.out)
		}
	}
	c.run("put", perf+"mine", "v")
	c.wantFailure(exitUsage, "there are 1 keys under", "check", "perf", "--prefix", perf)
	if r := c.run("get", perf+"mine", "--print-value-only"); r.out != "v\n" {
		t.Errorf("a stranger's key: %+v", r)
	}
	c.wantFailure(exitUsage, "--load is s, m, l or xl", "check", "perf", "--load", "huge")
	c.wantFailure(exitUsage, "--load is s, m, l or xl", "check", "datascale", "--load", "")
	c.wantFailure(exitUsage, "--prefix is not empty", "check", "perf", "--prefix", "")
	c.wantFailure(exitUsage, "--duration is at least 1s", "check", "perf", "--duration", "0s")
}

func TestDeviation(t *testing.T) {
	if d := deviation([]float64{1, 3}); d != 1 {
		t.Error(d)
	}
	if d := deviation(nil); d != 0 {
		t.Error(d)
	}
}

// What etcdctl does and scripts use is done the same; what differs is said.
func TestAsEtcdctl(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]} // it compacts
	for _, family := range []string{"lease", "member", "snapshot", "check", "user", "role", "auth", "alarm", "downgrade", "endpoint"} {
		if r := c.run(family); r.code != exitOK || !strings.Contains(r.out, "fairlead "+family+" ") || r.err != "" {
			t.Errorf("%s: %+v", family, r)
		}
		c.wantFailure(exitUsage, `unknown command "nosuch"`, family, "nosuch")
	}
	for _, ttl := range []string{"0", "1"} { // the server's least
		if r := c.run("lease", "grant", ttl); r.code != exitOK || !strings.HasSuffix(r.out, "granted with TTL(2s)\n") {
			t.Errorf("TTL %s: %+v", ttl, r)
		}
	}
	c.run("put", key(t, "k"), "v")
	r := c.run("get", "nothing", "-w", "fields")
	rev := fieldOf(t, r.out, `"Revision" : `)
	if r := c.run("compact", rev); r.code != exitOK || r.out != "compacted revision "+rev+"\n" {
		t.Errorf("%+v", r)
	}
	if r := c.run("help", "etcdctl"); r.code != exitOK || !strings.Contains(r.out, "Exit codes") {
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

// On a terminal nothing of a key or value is acted on; elsewhere all is as it is.
func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\tüber 日本": "plain\n\tüber 日本", "a\x1b[31mred": `a\x1b[31mred`, "bell\a\r\n": "bell\\a\\r\n", "\xff\xfe": `\xff\xfe`, "\u202e": `\u202e`, "": "",
	} {
		if got := harmless(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	p := &printer{width: 80}
	if got := p.text([]byte("\x1b]0;title\a")); got != `\x1b]0;title\a` {
		t.Errorf("to a terminal: %q", got)
	}
	p.width = 0
	if got := p.text([]byte("\x1b]0;title\a")); got != "\x1b]0;title\a" {
		t.Errorf("to a file: %q", got)
	}
}
