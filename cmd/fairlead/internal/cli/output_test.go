package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"

	"go.yaml.in/yaml/v3"
)

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// YAML has the same content as JSON.
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
	if err := yaml.Unmarshal([]byte(r.out), &doc); err != nil || r.code != command.ExitOK {
		t.Fatalf("%v in %+v", err, r)
	}
	if len(doc.Kvs) != 1 || doc.Kvs[0].Value != "dg==" || doc.Header.ClusterID == 0 ||
		strings.ContainsAny(r.out, "{}") {
		t.Errorf("%+v of\n%s", doc, r.out)
	}
}

// A command without a message refuses the protobuf format before it does anything.
func TestProtobufRefused(t *testing.T) {
	c := shared(t)
	for _, args := range []string{
		"defrag", "endpoint status", "endpoint health", "endpoint hashkv", "snapshot save /nosuch/x",
		"user get u --detail",
	} {
		c.wantFailure(command.ExitUsage, "no protobuf message", append(strings.Fields(args), "-w", "protobuf")...)
	}
}

func TestCompletionAndOptions(t *testing.T) {
	c := shared(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := c.run("completion", shell); r.code != command.ExitOK || !strings.Contains(r.out, "fairlead") ||
			r.err != "" {
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
		// not a line about the usage, nor help itself
		subs = slices.DeleteFunc(subs, func(s []string) bool { return s[1] == "etcdctl" || s[1] == "help" })
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
	// subcommand matches a line of a help text that lists commands: two blanks, a name, and a
	// description.
	subcommand = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) +[A-Za-z]`)
	flagLine   = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z0-9-]+)(?: ([a-zA-Z0-9]+))?   .*?(?:\(default (.*)\))?$`)
)

// flagInfo is the part of a flag that scripts rely on.
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

// compareFlags compares flags with those of our command.
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
		want.value = strings.Replace(want.value, "/etcdctl-check-", "/fairlead-check-", 1) // see "help etcdctl"
		if got, ok := ours[name]; name != "help" && (!ok || got != want) {
			c.t.Errorf("%s --%s: %+v, want %+v", path, name, got, want)
		}
	}
}
