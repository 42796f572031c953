package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// official runs etcdctl 3.7.3 on the same cluster.
func (c *cmd) official(args ...string) result {
	c.t.Helper()
	bin, err := etcdtest.CtlBinary("etcdctl")
	if err != nil {
		c.t.Fatal(err)
	}
	return c.execute(bin, append([]string{"--endpoints", c.endpoint}, args...)...)
}

func (c *cmd) execute(bin string, args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	run := exec.CommandContext(ctx, bin, args...)
	run.Env = []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}
	var out, errOut bytes.Buffer
	run.Stdin, run.Stdout, run.Stderr = strings.NewReader(c.stdin), &out, &errOut
	if err := run.Run(); err != nil && run.ProcessState == nil {
		c.t.Fatal(err)
	}
	return result{out.String(), errOut.String(), run.ProcessState.ExitCode()}
}

// changing matches durations, which differ from run to run, and ids that both programs make.
var changing = regexp.MustCompile(`\d+(\.\d+)?(ns|µs|ms|s)\b|"(ttl|TTL)":\d+|"TTL" : \d+|remaining\(\d+s\)`)

// same runs a command with both programs in each format, and compares the outputs and the success.
func (c *cmd) same(formats string, args ...string) {
	c.t.Helper()
	for f := range strings.FieldsSeq(formats) {
		c.sameAs(c.official(append(args, "-w", f)...), append(args, "-w", f)...)
	}
}

// sameAs runs a command and compares it with the result of etcdctl.
func (c *cmd) sameAs(want result, args ...string) {
	c.t.Helper()
	got := c.run(args...)
	mask := func(s string) string { return changing.ReplaceAllString(s, "?") }
	if mask(got.out) != mask(want.out) || (got.code == 0) != (want.code == 0) {
		c.t.Errorf("%q: code %d, output\n%s\nerror %s\netcdctl: code %d, output\n%s\nerror %s",
			args, got.code, got.out, got.err, want.code, want.out, want.err)
	}
}

const (
	allFormats  = "simple json fields protobuf"
	withTable   = "simple json fields table"
	textFormats = "simple json fields"
)

func TestSameKV(t *testing.T) {
	c := shared(t)
	p := key(t, "")
	id := grant(c, "6000")
	defer c.run("lease", "revoke", id)
	for _, kv := range []string{"a 1", "b 3", "c 2"} {
		k, v, _ := strings.Cut(kv, " ")
		c.want("OK\n", "put", p+k, v)
	}
	c.want("OK\n", "put", "--lease", id, p+"d", "\x00\xff\"quoted\"\n")
	for _, args := range [][]string{
		{"get", p + "a"}, {"get", p + "nosuch"}, {"get", p, "--prefix"}, {"get", p, "--prefix", "--hex"},
		{"get", p + "a", p + "c"},
		{"get", p, "--prefix", "--keys-only"},
		{"get", p, "--prefix", "--sort-by", "VALUE", "--order", "DESCEND", "--limit", "2"},
		{"get", p, "--prefix", "--stream"}, {"get", p + "a", "--rev", "99999999"},
		{"get", p, "--prefix", "--consistency", "s"},
		{"lease", "list"}, {"lease", "list", "--hex"},
	} {
		formats := allFormats
		if args[0] == "lease" {
			formats = textFormats
		}
		c.same(formats, args...)
	}
	c.same("fields", "get", p, "--prefix", "--count-only")
	c.same("simple", "get", p, "--prefix", "--print-value-only")
	c.same(textFormats, "lease", "timetolive", id, "--keys")
	c.same(textFormats, "lease", "timetolive", "1234")
	c.same(textFormats, "lease", "keep-alive", "--once", id)
	c.same(textFormats, "lease", "revoke", "1234")
	for _, args := range [][]string{{"put", p + "a", "1", "--prev-kv"}, {"del", p + "b", "--prev-kv"}} {
		c.want("OK\n", "put", p+"b", "3")
		c.want("OK\n", "put", p+"a", "1")
		c.want("OK\n", "put", p+"a", "1")
		want := c.official(args...)
		c.want("OK\n", "put", p+"b", "3")
		c.sameAs(want, args...)
	}
}

func TestSameTxn(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	c.want("OK\n", "put", k, "v")
	for _, text := range []string{
		"mod(\"" + k + "\") > \"0\"\n\nget " + k + "\nget " + k + " --keys-only\n\nput " + k + " x\n\n",
		"value(\"" + k + "\") = \"other\"\n\nput " + k + " x\n\nget --prefix " + k + "\ndel " + key(t,
			"nosuch") + "\n\n",
		"\n\n\n",
	} {
		c.with(text).same(textFormats, "txn")
		c.with(text).same("simple", "txn", "-i")
	}
}

func TestSameCluster(t *testing.T) {
	c := shared(t)
	clienttest.StorageKnown(t, clienttest.Dial(t, c.endpoint)) // both must print the same
	c.same(withTable, "member", "list")
	c.same(withTable, "member", "list", "--hex")
	c.same(withTable, "endpoint", "status")
	c.same(withTable, "endpoint", "--cluster", "hashkv")
	c.same(withTable, "endpoint", "hashkv", "--rev", "1")
	c.same("simple", "endpoint", "health")
	c.same(textFormats, "alarm", "list")
	c.same("simple", "alarm", "disarm")
	c.same("simple json protobuf", "downgrade", "validate", "3.6.0")
	c.same("simple", "downgrade", "validate", "3.1.0")
	c.same("simple", "downgrade", "enable", "3.1.0")
	c.same("simple", "defrag")
	c.same("simple", "move-leader", "1234")
	c.same("simple", "member", "remove", "1234")
	c.same("simple", "member", "promote", "1234")
	c.same("simple", "compaction", "99999999")
}

func TestSameUsage(t *testing.T) {
	c := shared(t)
	for _, args := range []string{
		"compaction", "compaction x", "member add", "member add x", "member update 1", "member remove zz",
		"move-leader xyz",
		"endpoint hashkv extra --nosuch", "snapshot save", "lock", "elect", "elect -l a b", "user add", "user get",
		"user grant-role a",
		"role add", "role grant-permission r", "role grant-permission r maybe k", "role revoke-permission r",
		"make-mirror",
		"downgrade validate", "completion nosuch", "make-mirror x --dest-prefix a --no-dest-prefix", "user passwd u",
		"user add u",
		"--cert x get a", "watch a b --prefix",
	} {
		words := strings.Fields(args)
		if want := c.official(words...); want.code == command.ExitOK {
			t.Errorf("etcdctl accepts %s", args)
		}
		r := c.run(words...)
		if r.code != command.ExitUsage || r.out != "" || !strings.HasPrefix(r.err, "Error: ") {
			t.Errorf("%s: code %d, output %q, error %q; want code 2", args, r.code, r.out, r.err)
		}
	}
}
