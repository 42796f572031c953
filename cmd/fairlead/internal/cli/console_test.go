package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/local"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// consoleOutput is a buffer that the test reads while a command writes to it.
type consoleOutput struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *consoleOutput) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *consoleOutput) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startConsole runs the command and returns the URL that it prints, and a function that ends it.
func startConsole(t *testing.T, c *cmd, args ...string) (url string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var out, errOut consoleOutput
	code := make(chan int, 1)
	go func() { code <- c.runIn(ctx, &out, &errOut, append([]string{"console"}, args...)...) }()
	line := regexp.MustCompile(`(?m)^https?://\S+$`)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); url == ""; <-tick.C {
		url = line.FindString(out.String())
		select {
		case n := <-code:
			t.Fatalf("it ended with %d: %s", n, errOut.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("no URL: %s%s", out.String(), errOut.String())
		}
	}
	return url, sync.OnceValue(func() int { cancel(); return <-code })
}

// signInTo signs in as the page's script does, and returns the header that the script sends
// afterwards.
func signInTo(t *testing.T, web *http.Client, base, token string) http.Header {
	t.Helper()
	resp, err := web.Post(base+"/api/session", "application/json", strings.NewReader(`{"token":"`+token+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var in struct{ Secret string }
	if err := json.NewDecoder(resp.Body).Decode(&in); err != nil || in.Secret == "" {
		t.Fatalf("signing in: status %d, %v", resp.StatusCode, err)
	}
	return http.Header{"Fairlead-Session": {in.Secret}}
}

func fetch(t *testing.T, web *http.Client, url string) (int, string) {
	t.Helper()
	return fetchWith(t, web, url, nil)
}

func fetchWith(t *testing.T, web *http.Client, url string, header http.Header) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	resp, err := web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestConsole(t *testing.T) {
	c := shared(t)
	url, stop := startConsole(t, c, "--listen", "127.0.0.1:0")
	base, token, ok := strings.Cut(url, "/?token=")
	if !ok || len(token) < 32 {
		t.Fatalf("the URL is %s", url)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Jar: jar}
	defer web.CloseIdleConnections()
	if status, _ := fetch(t, web, base+"/api/count"); status != http.StatusUnauthorized {
		t.Errorf("without the token: status %d", status)
	}
	if status, text := fetch(t, web, url); status != http.StatusOK || !strings.Contains(text, "<title>Fairlead") {
		t.Errorf("the page: status %d", status)
	}
	header := signInTo(t, web, base, token)
	if status, text := fetchWith(t, web, base+"/api/overview", header); status != http.StatusOK ||
		!strings.Contains(text, `"leader":`) {
		t.Errorf("the overview: status %d, %s", status, text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/stream?overview=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The console reads the members' metrics, and looks for faults.
	seen := make(map[string]bool)
	for lines := bufio.NewScanner(resp.Body); len(seen) < 2 && lines.Scan(); {
		for _, part := range []string{`"requests":`, `"findings":`} {
			if strings.Contains(lines.Text(), part) {
				seen[part] = true
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("the stream had only %v", seen)
	}
	cancel()
	if code := stop(); code != command.ExitOK {
		t.Errorf("it ended with %d", code)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://")); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestConsoleForOthersIsNotOpen(t *testing.T) {
	c := shared(t)
	certs := etcdtest.NewTLS(t)
	secure := []string{"--tls-cert", certs.CertFile, "--tls-key", certs.KeyFile}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0"} {
		c.wantFailure(command.ExitUsage, "needs TLS", "console", "--listen", address)
		c.wantFailure(command.ExitUsage, "needs TLS", "console", "--listen", address, "--login")
		c.wantFailure(
			command.ExitUsage,
			"must prove who they are",
			append([]string{"console", "--listen", address}, secure...)...)
	}
	c.wantFailure(command.ExitUsage, "16 bytes", "console", "--token", "short")
	c.wantFailure(command.ExitUsage, "exclude", "console", "--token", "0123456789abcdef", "--token-file", token)
	c.wantFailure(command.ExitUsage, "--tls-cert and --tls-key", "console", "--tls-cert", certs.CertFile)
	c.wantFailure(command.ExitUsage, "--token-file", "console", "--token-file", token+"none")
	c.wantFailure(command.ExitUsage, "--listen", "console", "--listen", "nowhere")

	url, stop := startConsole(
		t,
		c,
		append(
			[]string{"--listen", "0.0.0.0:0", "--host", "127.0.0.1", "--token-file", token, "--login"},
			secure...)...)
	defer stop()
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("the URL is %s", url)
	}
	base, _, _ := strings.Cut(url, "/?")
	ca := certs.ClientConfig(t)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.RootCAs}}}
	defer web.CloseIdleConnections()
	if status, text := fetch(t, web, strings.TrimSuffix(base, "/")+"/api/session"); status != http.StatusOK ||
		!strings.Contains(text, `"token":true,"login":true`) {
		t.Errorf("status %d, %s", status, text)
	}
}

// TestConsolePrintsNoTokenOfOnesOwn: printed lines get into logs.
func TestConsolePrintsNoTokenOfOnesOwn(t *testing.T) {
	c := shared(t)
	url, stop := startConsole(t, c, "--listen", "127.0.0.1:0", "--token", "a-token-of-ones-own")
	defer stop()
	if strings.Contains(url, "token") {
		t.Errorf("the URL is %s", url)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Jar: jar}
	defer web.CloseIdleConnections()
	base := strings.TrimSuffix(url, "/")
	status, _ := fetchWith(t, web, base+"/api/count", signInTo(t, web, base, "a-token-of-ones-own"))
	if status != http.StatusOK {
		t.Errorf("with the token: status %d", status)
	}
}

// TestConsoleAuditLog: each change has a line before it and one after it, even if a crash cut off
// the last line.
func TestConsoleAuditLog(t *testing.T) {
	c := shared(t)
	name := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(name, []byte(`{"id":1,"ti`), 0o600); err != nil {
		t.Fatal(err)
	}
	url, stop := startConsole(t, c, "--listen", "127.0.0.1:0", "--audit-log", name, "--name", "the shop's")
	base, token, _ := strings.Cut(url, "/?token=")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Jar: jar}
	defer web.CloseIdleConnections()
	header := signInTo(t, web, base, token)
	r, err := http.NewRequestWithContext(
		t.Context(),
		http.MethodPut,
		base+"/api/key",
		strings.NewReader(`{"key":"YXVkaXQ=","value":"dg==","mod":0}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	resp, err := web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if code := stop(); code != command.ExitOK {
		t.Errorf("it ended with %d", code)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 ||
		!strings.Contains(lines[1], `"action":"put","target":"audit","after":"v","outcome":"asked"`) &&
			!strings.Contains(lines[1], `"outcome":"asked"`) ||
		!strings.Contains(lines[2], `"outcome":"done"`) ||
		!strings.Contains(lines[2], `"target":"audit"`) ||
		!strings.Contains(lines[2], "the shop's") {
		t.Errorf("%q", lines)
	}
	c.wantFailure(
		command.ExitFailed,
		"--audit-log",
		"console",
		"--listen",
		"127.0.0.1:0",
		"--audit-log",
		filepath.Join(name, "none"),
	)
}

func TestConsoleTakesAFreePort(t *testing.T) {
	c := shared(t)
	// "fairlead dev" in the tests of another package may have the port, and leave it at any time. A
	// program that has it for longer keeps it.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	l, err := net.Listen("tcp", local.ConsoleAddress)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); <-tick.C {
		l, err = net.Listen("tcp", local.ConsoleAddress)
	}
	if err == nil {
		defer l.Close()
	}
	url, stop := startConsole(t, c)
	defer stop()
	if strings.Contains(url, local.ConsoleAddress) {
		t.Errorf("the URL is %s, which is taken", url)
	}
	c.wantFailure(command.ExitFailed, "in use", "console", "--listen", local.ConsoleAddress)
}
