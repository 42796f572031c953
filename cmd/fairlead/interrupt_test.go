package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// interrupt sends the signal of Ctrl-C and expects its exit code.
func (p *proc) interrupt() {
	p.t.Helper()
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 130 {
		p.t.Errorf("%q: exit status %d, want 130:\n%s", p.cmd.Args[1:], code, p.output())
	}
	if left, _ := os.ReadDir(p.tmp); len(left) > 0 {
		p.t.Errorf("%q: files left: %v", p.cmd.Args[1:], left)
	}
}

// awaitFile waits until a directory has a file.
func awaitFile(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "no file is begun", func() bool {
		files, _ := os.ReadDir(dir)
		return len(files) > 0
	})
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}

// Ctrl-C during a command that writes a file leaves neither the file nor a part of it.
func TestInterruptedFiles(t *testing.T) {
	endpoint := server(t)
	fill(t, endpoint, "k/", 8, 100_000)
	for _, args := range [][]string{{"snapshot", "save"}, {"export", "k/", "--file"}} {
		way := slow(t, endpoint)
		way.Throttle(20_000, faultnet.ToClient)
		dir := t.TempDir()
		p := start(t, append(append([]string{"--endpoints", way.Addr()}, args...), filepath.Join(dir, "file"))...)
		awaitFile(t, dir)
		p.interrupt()
		wantEmpty(t, dir)
		// A file that was there before stays.
		kept := filepath.Join(dir, "file")
		if err := os.WriteFile(kept, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		p = start(t, append(append([]string{"--endpoints", way.Addr()}, args...), kept)...)
		eventually(t, "no file is begun", func() bool {
			files, _ := os.ReadDir(dir)
			return len(files) > 1
		})
		p.interrupt()
		if text, err := os.ReadFile(kept); err != nil || string(text) != "kept" {
			t.Errorf("%q, %v", text, err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("left behind: %v", files)
		}
	}
}

// Ctrl-C during a command that writes keys: the same command again completes the work.
func TestInterruptedWriters(t *testing.T) {
	endpoint, other := server(t), server(t)
	fill(t, endpoint, "k/", 20, 200_000)
	file := filepath.Join(t.TempDir(), "keys")
	ctl(t, endpoint, "export", "k/", "--file", file)
	way := slow(t, other)
	some := func() bool {
		return ctl(t, other, "get", "k/a", "--count-only") != "0\n" &&
			ctl(t, other, "get", "k/t", "--count-only") == "0\n"
	}

	way.Throttle(400_000, faultnet.ToServer)
	p := start(t, "--endpoints", way.Addr(), "import", file)
	eventually(t, "nothing arrives", some)
	p.interrupt()
	if !strings.Contains(p.output(), "the same command does the rest") {
		t.Errorf("output: %s", p.output())
	}
	if !some() {
		t.Error("it was not in the middle")
	}
	way.Throttle(0)
	if out := ctl(t, way.Addr(), "import", file); strings.Contains(out, "; 0 were there already") {
		t.Errorf("it began anew: %s", out)
	}
	if out := ctl(t, endpoint, "diff", "k/", "--other-endpoints", other); out != "" {
		t.Errorf("after the second import: %s", out)
	}

	ctl(t, other, "del", "--prefix", "k/")
	way.Throttle(800_000, faultnet.ToServer)
	p = start(t, "--endpoints", endpoint, "make-mirror", "--prefix", "k/", way.Addr())
	eventually(t, "nothing arrives", some)
	p.interrupt()
	way.Throttle(0)
	p = start(t, "--endpoints", endpoint, "make-mirror", "--prefix", "k/", way.Addr())
	eventually(
		t,
		"the mirror is not complete",
		func() bool { return ctl(t, other, "get", "--prefix", "k/", "--count-only") == "20\n" },
	)
	p.interrupt()
	if out := ctl(t, endpoint, "diff", "k/", "--other-endpoints", other); out != "" {
		t.Errorf("after the second mirror: %s", out)
	}

	// A comparison of two clusters, one of which is slow.
	way.Throttle(20_000, faultnet.ToClient)
	before := way.Stats().ToClient
	p = start(t, "--endpoints", endpoint, "diff", "k/", "--other-endpoints", way.Addr())
	eventually(t, "nothing is read", func() bool { return way.Stats().ToClient > before+30_000 })
	p.interrupt()
}

func TestInterruptedFollowers(t *testing.T) {
	endpoint := server(t)
	ctl(t, endpoint, "put", "k", "v")
	p := start(t, "--endpoints", endpoint, "watch", "k", "--rev", "1")
	p.await("PUT\nk\nv\n")
	p.interrupt()

	lease := strings.Fields(ctl(t, endpoint, "lease", "grant", "100"))[1]
	p = start(t, "--endpoints", endpoint, "lease", "keep-alive", lease)
	p.await("keepalived")
	p.interrupt()

	p = start(t, "--endpoints", endpoint, "top")
	p.await("leader")
	p.interrupt()

	p = start(t, "--endpoints", endpoint, "elect", "--listen", "nobody")
	eventually(
		t,
		"no watch",
		func() bool { return strings.Contains(ctl(t, endpoint, "lease", "list"), "found 2 leases") },
	)
	p.interrupt()

	// While the command waits for an answer. Each has a way of its own: the last bytes of another
	// one would count as its question, and it would get the signal before it handles signals.
	for _, args := range []string{
		"defrag", "get k", "compaction 1", "history k", "doctor", "member list", "snapshot save /nosuch/x",
	} {
		way := slow(t, endpoint)
		way.BlackHole(faultnet.ToClient)
		p := start(
			t,
			append(
				[]string{"--endpoints", way.Addr(), "--command-timeout", "10m", "--dial-timeout", "10m"},
				strings.Fields(args)...)...)
		eventually(t, "nothing is asked", func() bool { return way.Stats().ToServer > 0 })
		p.interrupt()
	}
}

// Ctrl-C leaves no key, whether the command owns a lock or leadership, or waits for it.
func TestInterruptedOwners(t *testing.T) {
	endpoint := server(t)
	keys := func() string { return ctl(t, endpoint, "get", "--prefix", "", "--keys-only") }
	count := func(n string) func() bool {
		return func() bool { return ctl(t, endpoint, "get", "--prefix", "", "--count-only") == n+"\n" }
	}
	wantNone := func(what string) {
		t.Helper()
		if left := keys(); left != "" {
			t.Errorf("%s: keys left: %s", what, left)
		}
		if left := ctl(t, endpoint, "lease", "list"); left != "found 0 leases\n" {
			t.Errorf("%s: leases left: %s", what, left)
		}
	}
	for _, args := range [][]string{{"lock", "l"}, {"elect", "e", "me"}} {
		args = append([]string{"--endpoints", endpoint}, args...)
		holder := start(t, args...)
		eventually(t, "it is not held", count("1"))
		holder.await("/")
		waiter := start(t, args...)
		eventually(t, "nobody waits", count("2"))
		waiter.interrupt()
		if !count("1")() {
			t.Errorf("the waiter has left its key: %s", keys())
		}
		holder.interrupt()
		wantNone(args[2])

		child := start(t, append(args, "--", "sh", "-c", "echo began; exec sleep 1000")...)
		child.await("began")
		child.interrupt()
		wantNone(args[2] + " with a child")

		// The key is deleted only after a slow child has ended.
		goOn := filepath.Join(t.TempDir(), "go on")
		child = start(t, append(
			args,
			"--",
			"sh",
			"-c",
			`trap 'echo ending; until [ -e "$0" ]; do sleep 0.02; done; exit 0' INT; echo began; while :; do sleep 0.02; done`,
			goOn,
		)...)
		child.await("began")
		child.signal(syscall.SIGINT)
		child.await("ending")
		if !count("1")() {
			t.Error("the key is gone before the child is")
		}
		if err := os.WriteFile(goOn, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if code := child.wait(); code != 130 {
			t.Errorf("exit status %d: %s", code, child.output())
		}
		wantNone(args[2] + " with a slow child")
	}

	p := start(
		t,
		"--endpoints",
		endpoint,
		"run",
		"--service",
		"s",
		"--addr",
		"127.0.0.1:1",
		"--drain",
		"0s",
		"--",
		"sh",
		"-c",
		"echo began; exec sleep 1000",
	)
	p.await("began")
	eventually(t, "it is not registered", count("1"))
	p.interrupt()
	wantNone("run")

	watch := start(t, "--endpoints", endpoint, "svc", "watch", "s")
	p = start(t, "--endpoints", endpoint, "svc", "register", "s", "--addr", "127.0.0.1:1")
	eventually(t, "it is not registered", count("1"))
	watch.await("127.0.0.1:1")
	watch.interrupt()
	p.interrupt()
	wantNone("svc register")
}

// On a terminal Ctrl-C reaches the child too; the key is deleted all the same.
func TestLockOnTerminal(t *testing.T) {
	endpoint := server(t)
	p := startOnTerminal(
		t,
		80,
		24,
		"--endpoints",
		endpoint,
		"lock",
		"l",
		"--",
		"sh",
		"-c",
		"stty -echo; echo began; exec sleep 1000",
	)
	p.await("began")
	p.typed(ctrlC)
	if code := p.wait(); code != 130 {
		t.Errorf("exit status %d: %s", code, p.output())
	}
	if left := ctl(t, endpoint, "get", "--prefix", "", "--keys-only"); left != "" {
		t.Errorf("keys left: %s", left)
	}
}

// A command without a connection ends too, and reports what it could not do.
func TestInterruptedWithoutConnection(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	way := slow(t, cluster.Endpoints()[0])
	p := start(t, "--endpoints", way.Addr(), "--command-timeout", "1s", "lock", "l")
	p.await("l/")
	way.BlackHole()
	begun := time.Now()
	p.interrupt()
	if took := time.Since(begun); took > 9*time.Second || !strings.Contains(p.output(), "it expires within 10 s") {
		t.Errorf("after %v: %s", took, p.output())
	}
}

// A lock whose lease is lost is not given back: its key goes with the lease, and nobody answers.
func TestLostWithoutConnection(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	way := slow(t, cluster.Endpoints()[0])
	p := start(t, "--endpoints", way.Addr(), "--command-timeout", "1m", "lock", "--ttl", "2", "l")
	p.await("l/")
	way.BlackHole()
	begun := time.Now()
	code := p.wait()
	if took := time.Since(begun); code != 4 || took > 30*time.Second || strings.Contains(p.output(), "revoked") {
		t.Errorf("after %v with %d: %s", took, code, p.output())
	}
}
