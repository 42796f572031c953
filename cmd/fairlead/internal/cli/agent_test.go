package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// An agent answers by DNS about an instance that was registered over its socket; it ends with
// status 0.
func TestAgent(t *testing.T) {
	// A server of its own: the record's lease outlives the agent, and its end would change the
	// shared server's revision while another test compares what we print with what etcdctl prints.
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]}
	s := strings.ToLower(strings.ReplaceAll(key(t, "orders"), "/", "-"))
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	b := startCommand(
		t,
		c,
		"agent",
		"--dns",
		"127.0.0.1:0",
		"--http",
		"127.0.0.1:0",
		"--socket",
		socket,
		"--files",
		dir,
	)
	at := b.answering()
	b.await("serving unix:")
	put, err := http.NewRequestWithContext(
		t.Context(),
		"PUT",
		"http://localhost/v1/services/"+s+"/instances/one",
		strings.NewReader(`{"addresses":["10.0.0.1:80"]}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("Content-Type", "application/json")
	through := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
	}
	a, err := through.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != http.StatusCreated {
		t.Fatalf("%v", a.Status)
	}
	b.awaitThat(
		"DNS has it",
		func() bool { return len(resolve(t, "udp", at, s+".fairlead.internal.", dns.TypeA).Answer) == 1 },
	)
	_, text := b.text()
	base := regexp.MustCompile(`serving (http://\S+)`).FindStringSubmatch(text)[1]
	a, err = http.Get(base + "/v1/services/" + s)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if text, _ := io.ReadAll(a.Body); !strings.Contains(string(text), "10.0.0.1:80") {
		t.Errorf("%s", text)
	}
	http.DefaultClient.CloseIdleConnections()
	b.end(syscall.SIGTERM, 0)
	if r := c.run("svc", "ls", s); !strings.Contains(r.out, "10.0.0.1:80") {
		t.Errorf("it went with the agent: %+v", r)
	}
}

func TestAgentUsage(t *testing.T) {
	c := shared(t)
	for _, args := range [][]string{
		{"agent"}, {"agent", "x"}, {"agent", "--dns", "nowhere"}, {"agent", "--dns", ":0"}, {"agent", "--http", ":0"},
		{"agent", "--dns", "127.0.0.1:0", "--allow", "x"},
		{"agent", "--http", "127.0.0.1:0", "--http-cert", "x"}, {"dns", "--listen", ":0"},
	} {
		if r := c.run(args...); r.code != command.ExitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
	c.wantFailure(
		command.ExitFailed,
		"no such file",
		"agent",
		"--http",
		"127.0.0.1:0",
		"--tokens",
		filepath.Join(t.TempDir(), "none"),
	)
}
