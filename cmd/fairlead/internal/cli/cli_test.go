package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// patience bounds the wait for what must happen; a loaded machine may need it.
const patience = 30 * time.Second

// result is the outcome of a run.
type result struct {
	out, err string
	code     int
}

// cmd runs the program in-process against a cluster.
type cmd struct {
	t        *testing.T
	endpoint string
	stdin    string
	env      map[string]string
}

// shared returns the server of all tests, without the keys that an earlier run of this test
// (-count) left.
func shared(t *testing.T) *cmd {
	t.Helper()
	c := &cmd{t: t, endpoint: etcdtest.Shared(t).Endpoints()[0]}
	if r := c.run("del", "--prefix", key(t, "")); r.code != command.ExitOK {
		t.Fatalf("clean up: %s", r.err)
	}
	return c
}

func (c *cmd) with(stdin string) *cmd {
	d := *c
	d.stdin = stdin
	return &d
}

// run runs a command line.
func (c *cmd) run(args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var out, errOut bytes.Buffer
	code := c.runIn(ctx, &out, &errOut, args...)
	return result{out.String(), errOut.String(), code}
}

func (c *cmd) runIn(ctx context.Context, out, errOut interface{ Write([]byte) (int, error) }, args ...string) int {
	if c.endpoint != "" {
		args = append([]string{"--endpoints", c.endpoint}, args...)
	}
	return Run(ctx, command.Env{
		Args: args, Stdin: strings.NewReader(c.stdin), Stdout: onlyWriter{out}, Stderr: onlyWriter{errOut},
		LookupEnv: func(k string) (string, bool) { v, ok := c.env[k]; return v, ok },
	})
}

// onlyWriter hides a buffer's ReadFrom: the output of a command's programs goes through Write too.
type onlyWriter struct{ io.Writer }

// want runs a command and compares its output; nothing may be on standard error.
func (c *cmd) want(out string, args ...string) {
	c.t.Helper()
	r := c.run(args...)
	if r.code != command.ExitOK || r.out != out || r.err != "" {
		c.t.Errorf("%q:\ncode %d, output\n%s\nerror\n%s\nwant output\n%s", args, r.code, r.out, r.err, out)
	}
}

// wantFailure runs a command that must fail with a code and an error that contains a text.
func (c *cmd) wantFailure(code int, says string, args ...string) {
	c.t.Helper()
	r := c.run(args...)
	if r.code != code || !strings.Contains(r.err, says) {
		c.t.Errorf("%q: code %d, output %s, error\n%s\nwant code %d and %q", args, r.code, r.out, r.err, code, says)
	}
}

// json runs a command with -o json and decodes its answer.
func (c *cmd) json(to any, args ...string) {
	c.t.Helper()
	r := c.run(append(args, "-o", "json")...)
	if r.code != command.ExitOK {
		c.t.Fatalf("%q: code %d: %s", args, r.code, r.err)
	}
	if strings.Count(r.out, "\n") != 1 {
		c.t.Errorf("%q: JSON on other than one line: %s", args, r.out)
	}
	if err := json.Unmarshal([]byte(r.out), to); err != nil {
		c.t.Fatalf("%q: %v in %s", args, err, r.out)
	}
}

// key returns a key that only this test uses on the shared server.
func key(t *testing.T, name string) string { return t.Name() + "/" + name }

func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }

func TestUsage(t *testing.T) {
	c := shared(t)
	for _, args := range []string{
		"nosuchcommand", "lease nosuch", "member list extra", "get", "get a b c", "put", "del",
		"get --nosuchflag a", "get --limit x a", "-o xml get a", "-o json -w json get a", "get --prefix --from-key a",
		"get --sort-by COLOUR a", "get --order UP a", "get --consistency q a", "get --keys-only --count-only a",
		"get --print-value-only -o json a", "del --range", "put --lease zz a b", "put --ignore-value a b",
		"put --lease 1 --ignore-lease a b", "watch", "watch --rev -1 a", "lease grant", "lease grant x",
		"lease revoke", "lease revoke xyz", "lease timetolive xyz", "lease keep-alive xyz",
		"member list --consistency q",
		"--cert x get a", "--key x get a", "--cacert /nosuchfile get a", "--password p get a", "--user u get a",
		"--user u:p --auth-jwt-token t get a", "--command-timeout 0s get a", "--command-timeout -1s get a",
		"--dial-timeout -1s get a",
		"--endpoints http:// get a", "--endpoints 127.0.0.1 get a", "help nosuch",
		"help get nosuch",
		"history", "history a b", "diff", "diff a b c", "top a b", "migrate", "export a --file .", "dev --members 0",
		"dev --members -1", "dev --port 0",
	} {
		r := c.run(strings.Fields(args)...)
		if r.code != command.ExitUsage || r.out != "" || !strings.HasPrefix(r.err, "Error: ") ||
			!strings.Contains(r.err, "--help") {
			t.Errorf("%s: code %d, output %q, error %q; want code 2 and a hint", args, r.code, r.out, r.err)
		}
	}
}

func TestNoEndpoints(t *testing.T) {
	(&cmd{t: t}).wantFailure(command.ExitUsage, "--endpoints names none", "--endpoints=", "get", "a")
	(&cmd{t: t, endpoint: " , "}).wantFailure(command.ExitUsage, "--endpoints names none", "get", "a")
	(&cmd{t: t, endpoint: "no good"}).wantFailure(command.ExitUsage, "no good", "get", "a")
}

// TestEndpointsWithSpaces: etcdctl takes them as people write lists.
func TestEndpointsWithSpaces(t *testing.T) {
	c := shared(t)
	good := c.endpoint
	k := key(t, "k")
	c.want("OK\n", "put", k, "v")
	for _, list := range []string{"127.0.0.1:1, " + good, good + " ", " " + good + ",", "," + good + ", "} {
		c.endpoint = list
		c.want(lines(k, "v"), "get", k)
	}
}

func TestHelpNamesExitCodes(t *testing.T) {
	r := shared(t).run("--help")
	for _, want := range []string{"Exit codes:", "ETCDCTL_ENDPOINTS", "demo", "--command-timeout"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("help lacks %q", want)
		}
	}
	if strings.Contains(r.out, "run-member") {
		t.Error("help shows the hidden command")
	}
}

func TestEnvironment(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	c.want("OK\n", "put", k, "v")
	fromEnv := &cmd{
		t: t,
		env: map[string]string{
			"ETCDCTL_ENDPOINTS": "127.0.0.1:1," + c.endpoint,
			"ETCDCTL_API":       "3",
			"ETCDCTL_LIMIT":     "x",
		},
	}
	fromEnv.want(lines(k, "v"), "get", k)
	fromEnv.env["ETCDCTL_WRITE_OUT"] = "json"
	if r := fromEnv.run("get", k); !strings.HasPrefix(r.out, "{") {
		t.Errorf("ETCDCTL_WRITE_OUT=json printed %s", r.out)
	}
	fromEnv.want(lines(k, "v"), "get", k, "-w", "simple")
	fromEnv.want(lines(k, "v"), "get", k, "-o", "plain")
	fromEnv.env["ETCDCTL_ENDPOINTS"] = "127.0.0.1:1"
	fromEnv.endpoint = c.endpoint // --endpoints has precedence over it
	fromEnv.want(lines(k, "v"), "get", k, "-o", "plain")
	fromEnv.env["ETCDCTL_WRITE_OUT"] = "xml"
	fromEnv.wantFailure(command.ExitUsage, "ETCDCTL_WRITE_OUT", "get", k)
	fromEnv.env = map[string]string{"ETCDCTL_COMMAND_TIMEOUT": "soon"}
	fromEnv.wantFailure(command.ExitUsage, "ETCDCTL_COMMAND_TIMEOUT", "get", k)
}

// If no member of a cluster can be reached, every command ends in time, with the endpoints and the
// reason.
func TestUnreachable(t *testing.T) {
	port, err := faultnet.HoldPort() // refuses connections
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.Release)
	silent, err := faultnet.New(port.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	silent.BlackHole()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(oneKey), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ep := range []string{port.Addr(), silent.Addr()} {
		for _, args := range []string{
			"get a", "put a b", "del a", "watch a", "lease list", "lease grant 5", "lease keep-alive 1", "member list",
			"endpoint status", "endpoint health", "endpoint status --cluster", "endpoint hashkv", "defrag",
			"alarm list",
			"lock x -- true", "elect x y", "elect -l x", "snapshot save /nosuch/x", "move-leader 12", "auth status",
			"user list",
			"get --stream a", "watch -i", "make-mirror 127.0.0.1:1", "compaction 1", "downgrade cancel",
			"member remove 1",
			"export a", "export a --file /nosuch/x", "import " + file, "import --dry-run " + file, "diff a b",
			"diff a --other-endpoints 127.0.0.1:1",
			"history a", "top", "doctor", "doctor -w json", "svc ls", "svc get s i", "svc watch s", "role list",
			"user get u", "member add x --peer-urls http://a:1",
			"endpoint health --cluster", "watch --resume a", "txn", "alarm disarm", "snapshot save x", "auth enable",
			"elect x", "lease revoke 1",
		} {
			t.Run(args, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				c := &cmd{t: t, endpoint: ep}
				r := c.run(append(strings.Fields(args), "--command-timeout", "1s", "--dial-timeout", "500ms")...)
				if r.code != command.ExitUnreachable || !strings.Contains(r.out+r.err, ep) {
					t.Errorf("code %d, output %s, error %s; want code 3 and the endpoint", r.code, r.out, r.err)
				}
				if ep == port.Addr() && !strings.Contains(r.out+r.err, "connection refused") {
					t.Errorf("the reason is missing: %s%s", r.out, r.err)
				}
				if took := time.Since(start); took > patience/2 {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}

// oneKey is a file for import.
const oneKey = `{"fairlead":"export","format":1,"prefix":"a","revision":1,"cluster":"1"}
{"key":"a","value":"b"}
{"end":1}
`

func TestTLSAndUser(t *testing.T) {
	auth := etcdtest.NewTLS(t)
	cluster := etcdtest.Start(t, etcdtest.Options{TLS: auth, ClientCertAuth: true})
	secured := []string{"--cacert", auth.CAFile, "--cert", auth.ClientCertFile, "--key", auth.ClientKeyFile}
	c := &cmd{t: t, endpoint: cluster.Endpoints()[0]}
	c.want("OK\n", append(secured, "put", "a", "b")...)
	c.want("a\nb\n", append(secured, "get", "a")...)
	c.endpoint = "https://" + c.endpoint
	c.want("a\nb\n", append(secured, "get", "a")...)
	// Without the authority's certificate.
	for _, words := range [][]string{{"get", "a"}, {"put", "a", "b"}, {"watch", "a"}} {
		began := time.Now()
		r := c.run(append([]string{"--command-timeout", "1m"}, words...)...)
		if r.code != command.ExitUnreachable || !strings.Contains(r.err, "certificate") ||
			time.Since(began) > 30*time.Second {
			t.Errorf("%v without the authority: code %d after %v, %s", words, r.code, time.Since(began), r.err)
		}
	}
}

// A running command uses certificates that are replaced, even if another authority issued them.
func TestCertificatesAreRenewed(t *testing.T) {
	dir := t.TempDir()
	auth, err := etcdtest.NewTLSIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	cluster := etcdtest.Start(t, etcdtest.Options{TLS: auth, ClientCertAuth: true})
	c := &cmd{t: t, endpoint: cluster.Endpoints()[0]}
	secured := []string{
		"--cacert",
		auth.CAFile,
		"--cert",
		auth.ClientCertFile,
		"--key",
		auth.ClientKeyFile,
		"--command-timeout",
		patience.String(),
	}
	c.want("OK\n", append(secured, "put", "k", "before")...)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	seen := make(chan struct{})
	before := &onLine{line: "before", do: func() { close(seen) }}
	after := &onLine{line: "after", do: func() { interrupt(command.InterruptedError{Signal: 2}) }}
	code := make(chan int, 1)
	var errOut bytes.Buffer
	go func() {
		code <- c.runIn(ctx, io.MultiWriter(before, after), &errOut, append(secured, "watch", "k", "--rev", "1")...)
	}()
	select {
	case <-seen:
	case <-ctx.Done():
		t.Fatal("the watch did not begin")
	}
	if _, err := etcdtest.NewTLSIn(dir); err != nil { // another authority in the same files
		t.Fatal(err)
	}
	m := cluster.Members()[0]
	m.Kill()
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	c.want("OK\n", append(secured, "put", "k", "after")...)
	if got := <-code; got != 130 || errOut.Len() > 0 {
		t.Errorf("code %d, output %s, error %s", got, after.String(), &errOut)
	}
}

// If the reader closes the output, the command ends silently, with the code of a program that
// SIGPIPE ended.
func TestClosedOutput(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	c.want("OK\n", "put", k, "v")
	var errOut bytes.Buffer
	if code := c.runIn(t.Context(), brokenPipe{}, &errOut, "get", k); code != command.ExitClosedPipe ||
		errOut.Len() > 0 {
		t.Errorf("code %d, error %s, want 141 and nothing", code, errOut.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestVersion(t *testing.T) {
	r := shared(t).run("version")
	if r.code != command.ExitOK || !strings.Contains(r.out, "etcd API 3.7.") {
		t.Errorf("%+v", r)
	}
}
