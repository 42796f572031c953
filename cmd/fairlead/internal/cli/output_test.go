package cli

import (
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// YAML holds what JSON does.
func TestYAML(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	c.want("OK\n", "put", k, "v")
	r := c.run("get", k, "-w", "yaml")
	var doc struct {
		Header struct {
			ClusterID uint64 `yaml:"cluster_id"`
		}
		Kvs []struct{ Key, Value string }
	}
	if err := yaml.Unmarshal([]byte(r.out), &doc); err != nil || r.code != exitOK {
		t.Fatalf("%v in %+v", err, r)
	}
	if len(doc.Kvs) != 1 || doc.Kvs[0].Value != "dg==" || doc.Header.ClusterID == 0 || strings.ContainsAny(r.out, "{}") {
		t.Errorf("%+v of\n%s", doc, r.out)
	}
}

// A command without a message refuses the protobuf format before it does anything.
func TestProtobufRefused(t *testing.T) {
	c := shared(t)
	for _, args := range []string{"defrag", "endpoint status", "endpoint health", "endpoint hashkv", "snapshot save /nosuch/x", "user get u --detail"} {
		c.wantFailure(exitUsage, "no protobuf message", append(strings.Fields(args), "-w", "protobuf")...)
	}
}

func TestNarrowTerminal(t *testing.T) {
	var s strings.Builder
	tab := table{[]string{"NAME", "VALUE"}, [][]string{{"a", strings.Repeat("x", 50)}, {"b", ""}}}
	writeTable(&s, tab, 40)
	if want := "name: a\nvalue: " + strings.Repeat("x", 50) + "\n\nname: b\n"; s.String() != want {
		t.Errorf("got\n%s\nwant\n%s", s.String(), want)
	}
	s.Reset()
	writeTable(&s, tab, 200)
	if !strings.HasPrefix(s.String(), "┌") {
		t.Error(s.String())
	}
}

func TestProgressLine(t *testing.T) {
	p := &progress{what: "snapshot", unit: bytesText}
	p.set(5_000_000, 10_000_000)
	if got, want := p.line(0, 60), "snapshot 5.0 MB/10 MB  50% [###############...............]"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for width := range 100 {
		if n := utf8.RuneCountInString(p.line(0, width)); n >= max(width, 1) && width > 0 {
			t.Errorf("%d columns on a terminal of %d", n, width)
		}
	}
	p.set(20, 0)
	if got := p.line(0, 40); got != "snapshot 20 B" {
		t.Error(got)
	}
	if got := (&progress{what: "compacting"}).line(2*time.Second, 40); got != "compacting 2s" {
		t.Error(got)
	}
	a := &app{env: Env{Stderr: &strings.Builder{}}}
	bar := a.wait("nothing") // no terminal
	bar.set(1, 2)
	bar.stop()
}

func TestProgressIsErased(t *testing.T) {
	var out lockedBuffer
	p := &progress{w: &out, width: func() int { return 40 }, what: "waiting", start: time.Now(), quit: make(chan struct{}), ended: make(chan struct{})}
	p.draw(time.Second)
	go p.run()
	p.stop()
	p.stop()
	if got := out.String(); !strings.HasPrefix(got, "\rwaiting 1s") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
}

func TestDiscoverySRV(t *testing.T) {
	answers := map[string][]*net.SRV{
		"etcd-client-ssl-blue": {{Target: "a.example.", Port: 2379}},
		"etcd-client-blue":     {{Target: "b.example.", Port: 2380}},
	}
	lookup := func(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
		if all, ok := answers[service]; ok && proto == "tcp" && name == "example" {
			return "", all, nil
		}
		return "", nil, errors.New("no such host")
	}
	f := &connFlags{discoverySRV: "example", discoveryName: "blue", insecureDiscovery: true}
	got, err := f.lookupSRV(t.Context(), lookup)
	if want := []string{"https://a.example:2379", "http://b.example:2380"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	f.insecureDiscovery = false
	if got, err = f.lookupSRV(t.Context(), lookup); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	f.discoveryName = ""
	if _, err = f.lookupSRV(t.Context(), lookup); exitCode(err) != exitUnreachable || !strings.Contains(err.Error(), "example") {
		t.Error(err)
	}
}

func TestCompletionAndOptions(t *testing.T) {
	c := shared(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := c.run("completion", shell); r.code != exitOK || !strings.Contains(r.out, "fairlead") || r.err != "" {
			t.Errorf("%s: %+v", shell, r)
		}
	}
	// Every global flag of etcdctl exists.
	ours := c.run("options").out
	for word := range strings.FieldsSeq(c.official("options").out) {
		if strings.HasPrefix(word, "--") && !strings.Contains(ours, strings.TrimRight(word, ",")) {
			t.Errorf("no flag %s", word)
		}
	}
	if r := c.run("help", "exit-codes"); !strings.Contains(r.out, "141") {
		t.Errorf("%+v", r)
	}
}

// Every command of etcdctl exists with its flags, their kinds and their defaults, and so do
// etcdutl's for snapshots.
func TestCommandsOfEtcdctl(t *testing.T) {
	c := shared(t)
	utl, err := etcdtest.CtlBinary("etcdutl")
	if err != nil {
		t.Fatal(err)
	}
	c.compareFlags("options", flagsIn(c.official("options").out))
	commands := 0
	var each func(path []string)
	each = func(path []string) {
		help := c.official(append(path, "--help")...).out
		subs := subcommand.FindAllStringSubmatch(help, -1)
		subs = slices.DeleteFunc(subs, func(s []string) bool { return s[1] == "etcdctl" || s[1] == "help" }) // how it is used
		for _, sub := range subs {
			each(append(slices.Clone(path), sub[1]))
		}
		if len(path) > 0 && len(subs) == 0 {
			commands++
			c.compareFlags(strings.Join(path, " "), flagsIn(help))
		}
	}
	each(nil)
	if commands < 50 {
		t.Errorf("only %d commands were compared", commands)
	}
	c.compareFlags("snapshot restore", flagsIn(c.execute(utl, "snapshot", "restore", "-h").out))
	c.compareFlags("snapshot status", flagsIn(c.execute(utl, "snapshot", "status", "-h").out))
	c.compareFlags("snapshot hashkv", flagsIn(c.execute(utl, "hashkv", "-h").out))
}

var (
	// subcommand is a line of a help text that lists commands: two blanks, a name, and what it
	// does.
	subcommand = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) +[A-Za-z]`)
	flagLine   = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z0-9-]+)(?: ([a-zA-Z0-9]+))?   .*?(?:\(default (.*)\))?$`)
)

// flagInfo is what scripts rely on.
type flagInfo struct{ short, kind, value string }

func flagsIn(help string) map[string]flagInfo {
	all := make(map[string]flagInfo)
	for _, m := range flagLine.FindAllStringSubmatch(help, -1) {
		kind := m[3]
		if kind == "format" { // a string that is checked as it is read
			kind = "string"
		}
		all[m[2]] = flagInfo{m[1], kind, strings.Trim(m[4], `"`)}
	}
	return all
}

// compareFlags compares flags with those that a command of ours has.
func (c *cmd) compareFlags(path string, theirs map[string]flagInfo) {
	c.t.Helper()
	if len(theirs) == 0 {
		c.t.Errorf("%s: no flag was found in the official help", path)
	}
	args := strings.Fields(path)
	if path != "options" {
		args = append(args, "--help")
	}
	ours := flagsIn(c.run(args...).out)
	for name, want := range theirs {
		want.value = strings.Replace(want.value, "/etcdctl-check-", "/fairlead-check-", 1) // "help etcdctl" says so
		if got, ok := ours[name]; name != "help" && (!ok || got != want) {
			c.t.Errorf("%s --%s: %+v, want %+v", path, name, got, want)
		}
	}
}
