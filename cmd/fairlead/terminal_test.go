package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/columns"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// terminal is a program on a terminal of its own.
type terminal struct {
	*proc
	side   *os.File // ours: writing here types
	tty    *os.File // the program's
	before *term.State
}

func startOnTerminal(t *testing.T, columns, rows uint16, args ...string) *terminal {
	t.Helper()
	return startTerminal(t, columns, rows, program, args...)
}

// startTerminal starts any program on a terminal, for example a shell.
func startTerminal(t *testing.T, columns, rows uint16, name string, args ...string) *terminal {
	t.Helper()
	side, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: columns, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	p := &terminal{
		proc: &proc{t: t, tmp: t.TempDir(), done: make(chan struct{}), changed: make(chan struct{})},
		side: side,
		tty:  tty,
	}
	if p.before, err = term.GetState(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(name, args...)
	p.cmd.Env = append(os.Environ(), "TMPDIR="+p.tmp)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that Ctrl-C sends it a signal
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := side.Read(b)
			p.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		tty.Close() // the last open one: the reader gets an error
		select {
		case <-read:
			side.Close()
		case <-time.After(patience):
			t.Error("processes are left on the terminal")
		}
	})
	return p
}

func (p *terminal) typed(s string) {
	p.t.Helper()
	if _, err := p.side.WriteString(s); err != nil {
		p.t.Fatal(err)
	}
}

const ctrlC = "\x03"

// asBefore reports whether the terminal's settings are those from before the program.
func (p *terminal) asBefore() bool {
	p.t.Helper()
	now, err := term.GetState(int(p.tty.Fd()))
	if err != nil {
		p.t.Fatal(err)
	}
	return *now == *p.before
}

// awaitChanged waits until the program has changed the terminal's settings.
func (p *terminal) awaitChanged() {
	p.t.Helper()
	eventually(p.t, "the terminal is as it was", func() bool { return !p.asBefore() })
}

// finish waits for the end and for all output of the program, and expects the terminal's former
// settings.
func (p *terminal) finish(code int) string {
	p.t.Helper()
	if got := p.wait(); got != code {
		p.t.Errorf("exit status %d, want %d:\n%q", got, code, p.output())
	}
	if !p.asBefore() {
		p.t.Error("the terminal's settings are changed")
	}
	// A terminal keeps the order of its output: ours comes last.
	const mark = "[[the end]]"
	if _, err := p.tty.WriteString(mark); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "output is missing", func() bool { return strings.HasSuffix(p.output(), mark) })
	return strings.TrimSuffix(p.output(), mark)
}

// eventually waits for a condition that is not announced.
func eventually(t *testing.T, otherwise string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
		<-tick.C
	}
}

var escape = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]")

// wantFits checks that no shown line is wider than the terminal.
func wantFits(t *testing.T, out string, width int) {
	t.Helper()
	for line := range strings.Lines(escape.ReplaceAllString(out, "")) {
		for _, drawn := range strings.Split(strings.TrimRight(line, "\r\n"), "\r") {
			if n := columns.Width(drawn); n > width {
				t.Errorf("a line of %d columns: %q", n, drawn)
			}
		}
	}
}

func server(t *testing.T) string {
	t.Helper()
	return etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]
}

// slow returns a proxy to a server, which a test can slow down.
func slow(t *testing.T, endpoint string) *faultnet.Proxy {
	t.Helper()
	p, err := faultnet.New(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// fill writes n keys of size bytes below a prefix.
func fill(t *testing.T, endpoint, prefix string, n, size int) {
	t.Helper()
	for i := range n {
		cmd := exec.Command(program, "--endpoints", endpoint, "put", prefix+string(rune('a'+i)))
		cmd.Stdin = bytes.NewReader(bytes.Repeat([]byte("x"), size))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func TestTopOnTerminal(t *testing.T) {
	endpoint := server(t)
	ctl(t, endpoint, "put", "some/long/prefix/日本語/キーの名前は二倍の幅を取ります/that/does/not/fit", "v")
	const width, rows = 40, 12
	for name, end := range map[string]struct {
		how  func(*terminal)
		code int
	}{
		"q":       {func(p *terminal) { p.typed("q") }, 0},
		"Ctrl-C":  {func(p *terminal) { p.typed(ctrlC) }, 130},
		"SIGINT":  {func(p *terminal) { p.signal(syscall.SIGINT) }, 130},
		"SIGTERM": {func(p *terminal) { p.signal(syscall.SIGTERM) }, 143},
	} {
		t.Run(name, func(t *testing.T) {
			p := startOnTerminal(t, width, rows, "--endpoints", endpoint, "top", "--interval", "100ms", "--depth", "20")
			p.await("leader")
			eventually(t, "no change is shown", func() bool { // the watch may begin after the first view
				ctl(t, endpoint, "put", "some/long/prefix/日本語/キーの名前は二倍の幅を取ります/that/does/not/fit", name)
				return strings.Contains(p.output(), "some/long/prefix")
			})
			end.how(p)
			out := p.finish(end.code)
			const enter, leave = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
			if !strings.HasPrefix(out, enter) || !strings.HasSuffix(out, leave) {
				t.Errorf("the screen is not entered and left:\n%q", out)
			}
			for _, frame := range strings.Split(strings.TrimSuffix(out, leave), "\x1b[H")[1:] {
				wantFits(t, frame, width)
				if n := strings.Count(frame, "\n") + 1; n > rows {
					t.Errorf("%d lines:\n%q", n, frame)
				}
			}
		})
	}
}

func TestPasswordOnTerminal(t *testing.T) {
	endpoint := server(t)
	for _, args := range [][]string{
		{"user", "add", "root:s3cret pass"}, {"user", "grant-role", "root", "root"}, {"auth", "enable"},
	} {
		ctl(t, endpoint, args...)
	}
	ask := func(args ...string) *terminal {
		t.Helper()
		p := startOnTerminal(t, 80, 24, append([]string{"--endpoints", endpoint, "--user", "root"}, args...)...)
		p.await("Password for root: ")
		p.awaitChanged()
		return p
	}
	p := ask("put", "k", "v")
	p.typed("s3cret pass\r")
	if out := p.finish(0); out != "Password for root: \r\nOK\r\n" {
		t.Errorf("%q", out)
	}
	p = ask("get", "k")
	p.typed("wrong\r")
	if out := p.finish(1); strings.Contains(out, "wrong\r") || !strings.Contains(out, "authentication failed") {
		t.Errorf("%q", out)
	}
	p = ask("get", "k")
	p.typed("half" + ctrlC)
	if out := p.finish(130); strings.Contains(out, "half") || !strings.HasSuffix(out, "\r\n") {
		t.Errorf("%q", out)
	}
	p = ask("get", "k")
	p.signal(syscall.SIGTERM)
	p.finish(143)
	// A new password is asked for twice.
	p = startOnTerminal(t, 80, 24, "--endpoints", endpoint, "--user", "root:s3cret pass", "user", "add", "second")
	p.await("Password of second: ")
	p.awaitChanged()
	p.typed("one\r")
	p.await("Password of second again: ")
	p.awaitChanged()
	p.typed(ctrlC)
	p.finish(130)
	if out := ctl(t, endpoint, "--user", "root:s3cret pass", "user", "list"); out != "root\n" {
		t.Errorf("users: %s", out)
	}
}

// A bar appears when a command takes longer than a second, and is erased at the end; it does not
// appear without a terminal.
func TestProgressOnTerminal(t *testing.T) {
	endpoint := server(t)
	fill(t, endpoint, "k/", 8, 100_000)
	for what, args := range map[string][]string{
		"exported ": {"export", "k/", "--file"},
		"snapshot ": {"snapshot", "save"},
	} {
		way := slow(t, endpoint)
		args = append([]string{"--endpoints", way.Addr()}, args...)
		way.Throttle(20_000, faultnet.ToClient)
		p := startOnTerminal(t, 40, 24, append(args, t.TempDir()+"/file")...)
		p.await("\r" + what)
		way.Throttle(0)
		out := p.finish(0)
		bars, after, erased := strings.Cut(out, "\r\x1b[K")
		if !erased || strings.Contains(after, what) {
			t.Errorf("not erased: %q", out)
		}
		wantFits(t, bars, 40)
		// As slow again, but piped: there is no bar.
		way.Throttle(400_000, faultnet.ToClient)
		begun := time.Now()
		piped := start(t, append(args, t.TempDir()+"/file")...)
		if code := piped.wait(); code != 0 || time.Since(begun) < time.Second ||
			strings.Contains(piped.output(), what) {
			t.Errorf("exit status %d after %v: %q", code, time.Since(begun), piped.output())
		}
	}
}

// The progress of an import is its place in the file.
func TestImportOnTerminal(t *testing.T) {
	from, to := server(t), server(t)
	fill(t, from, "k/", 10, 300_000)
	file := t.TempDir() + "/keys"
	ctl(t, from, "export", "k/", "--file", file)
	way := slow(t, to)
	way.Throttle(600_000, faultnet.ToServer)
	p := startOnTerminal(t, 60, 24, "--endpoints", way.Addr(), "import", file)
	p.await("/10 keys ")
	way.Throttle(0)
	if out := p.finish(0); !strings.HasSuffix(out, "10 added, 0 changed, 0 deleted; 0 were there already\r\n") {
		t.Errorf("%q", out)
	}
}

// A terminal gets keys that it would act on in escapes, a pipe gets them unchanged; bars do not
// come between lines.
func TestHostileKeysOnTerminal(t *testing.T) {
	endpoint := server(t)
	const bad = "\x1b]0;title\a\x1b[2J\r\n"
	ctl(t, endpoint, "put", "a/"+bad, bad)
	file := t.TempDir() + "/keys"
	ctl(t, endpoint, "export", "a/", "--file", file)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"import", "--dry-run", "--to", "b/", file}, 0},
		{[]string{"diff", "--values", "a/", "b/"}, 1},
		{[]string{"history", "a/" + bad}, 0},
	} {
		args := append([]string{"--endpoints", endpoint}, c.args...)
		out := startOnTerminal(t, 80, 24, args...).finish(c.code)
		if strings.ContainsAny(out, "\x1b\a") || !strings.Contains(out, `\x1b]0;title\a\x1b[2J\r\n`) {
			t.Errorf("%q: %q", c.args, out)
		}
		piped := start(t, args...)
		if code := piped.wait(); code != c.code || !strings.Contains(piped.output(), bad) {
			t.Errorf("%q in a pipe: code %d, %q", c.args, code, piped.output())
		}
	}
	// Keys and values as lines of their own keep their line breaks.
	for _, args := range [][]string{{"get", "a/", "--prefix"}, {"del", "a/", "--prefix", "--prev-kv"}} {
		args = append([]string{"--endpoints", endpoint}, args...)
		piped := start(t, append(args[:2:2], "get", "a/", "--prefix")...)
		if code := piped.wait(); code != 0 || !strings.Contains(piped.output(), bad) {
			t.Errorf("in a pipe: code %d, %q", code, piped.output())
		}
		out := startOnTerminal(t, 80, 24, args...).finish(0)
		if strings.ContainsAny(strings.ReplaceAll(out, "\r\n", "\n"), "\x1b\a\r") ||
			!strings.Contains(out, `\x1b]0;title\a\x1b[2J\r`+"\r\n") {
			t.Errorf("%q: %q", args, out)
		}
	}
}

// From one cluster to another without a file.
func TestExportIntoImport(t *testing.T) {
	from, to := server(t), server(t)
	fill(t, from, "k/", 20, 50_000)
	pipe := func(from string) (out string, code int) {
		t.Helper()
		tmp := t.TempDir()
		export, imported := exec.Command(
			program,
			"--endpoints",
			from,
			"export",
			"k/",
		), exec.Command(
			program,
			"--endpoints",
			to,
			"import",
			"-",
		)
		imported.Env = append(os.Environ(), "TMPDIR="+tmp)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		export.Stdout, imported.Stdin, imported.Stderr = w, r, &said
		if err := export.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		imported.Run()
		r.Close()
		export.Wait()
		if left, _ := os.ReadDir(tmp); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		return said.String(), imported.ProcessState.ExitCode()
	}
	if out, code := pipe(from); code != 0 || !strings.HasPrefix(out, "20 added") {
		t.Errorf("code %d: %s", code, out)
	}
	if out := ctl(t, from, "diff", "k/", "--other-endpoints", to); out != "" {
		t.Errorf("they differ: %s", out)
	}
	// An export that fails leaves the other cluster unchanged.
	if out, code := pipe("127.0.0.1:1"); code != 1 || !strings.Contains(out, "the file is empty") {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestNarrowTerminal(t *testing.T) {
	endpoint := server(t)
	ctl(t, endpoint, "put", "k\x1b[31m", "v")
	for _, args := range [][]string{
		{"member", "list", "-w", "table"}, {"endpoint", "status", "-w", "table"},
		{"get", "k", "--prefix", "-w", "table"}, {"doctor"},
	} {
		p := startOnTerminal(t, 40, 24, append([]string{"--endpoints", endpoint}, args...)...)
		out := p.finish(0)
		wantFits(t, out, 40)
		// the other one wipes what progress showed
		colours := strings.Contains(strings.ReplaceAll(out, "\x1b[K", ""), "\x1b")
		if colours || strings.Contains(out, "│") || out == "" {
			t.Errorf("%q: %q", args, out)
		}
	}
}

func TestInteractiveOnTerminal(t *testing.T) {
	endpoint := server(t)
	p := startOnTerminal(t, 40, 24, "--endpoints", endpoint, "txn", "-i")
	p.await("compares:\r\n")
	p.typed("version(\"k\") = \"0\"\r\r")
	p.await("success requests")
	p.typed("put k first\r\r")
	p.await("failure requests")
	p.typed("\r")
	if out := p.finish(0); !strings.Contains(out, "SUCCESS\r\n\r\nOK\r\n") {
		t.Errorf("%q", out)
	}
	p = startOnTerminal(t, 40, 24, "--endpoints", endpoint, "txn", "-i")
	p.await("compares:\r\n")
	p.typed("version(\"k\"" + ctrlC)
	p.finish(130)

	p = startOnTerminal(t, 80, 24, "--endpoints", endpoint, "watch", "-i")
	p.await("One command per line")
	p.typed("nonsense\r")
	p.await("no command here")
	p.typed("watch --rev 1 k\r")
	p.await("PUT\r\nk\r\nfirst\r\n")
	p.typed("\x04") // Ctrl-D
	p.finish(0)
	p = startOnTerminal(t, 80, 24, "--endpoints", endpoint, "watch", "-i")
	p.await("One command per line")
	p.typed(ctrlC)
	p.finish(130)
}

// A command waits for a server that is starting, as etcdctl does, and reports so on a terminal.
func TestWaitsForStartingServer(t *testing.T) {
	real := server(t)
	way := slow(t, real)
	way.Refuse()
	args := []string{"--endpoints", way.Addr(), "--command-timeout", "30s", "put", "waited", "for"}
	p := startOnTerminal(t, 200, 24, args...)
	piped := start(t, args...)
	if out := p.await("connection refused"); !strings.Contains(out, "Waiting for "+way.Addr()) {
		t.Errorf("%q", out)
	}
	hasty := start(t, append([]string{"--fail-fast"}, args...)...)
	if code := hasty.wait(); code != 3 {
		t.Errorf("--fail-fast: exit status %d: %s", code, hasty.output())
	}
	way.Heal()
	if out := p.finish(0); !strings.HasSuffix(out, "OK\r\n") {
		t.Errorf("%q", out)
	}
	if code := piped.wait(); code != 0 || piped.output() != "OK\n" {
		t.Errorf("piped: exit status %d: %q", code, piped.output())
	}
}
