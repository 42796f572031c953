package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// These tests run the supervisor of run, lock and elect, with real processes.

// listenOn is an environment variable that makes this program a child which listens on its value.
const listenOn = "FAIRLEAD_TEST_LISTEN"

func init() {
	address := os.Getenv(listenOn)
	if address == "" {
		return
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening")
	for {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}
}

// freeAddress returns an address on which no program listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// supervisors returns the commands that run a program, without the program. Programs have plenty
// of time to end after a signal.
func supervisors(endpoint string) map[string][]string { return supervisorsWith(endpoint, patience) }

// supervisorsWith returns them with a time after which they kill the program.
func supervisorsWith(endpoint string, grace time.Duration) map[string][]string {
	return map[string][]string{
		"run": {
			"--endpoints",
			endpoint,
			"run",
			"--service",
			"s",
			"--addr",
			"127.0.0.1:1",
			"--drain",
			"100ms",
			"--grace",
			grace.String(),
			"--",
		},
		"lock":  {"--endpoints", endpoint, "lock", "--grace", grace.String(), "l", "--"},
		"elect": {"--endpoints", endpoint, "elect", "--grace", grace.String(), "e", "me", "--"},
	}
}

// pids reads process numbers from a file, one per line, once there are n.
func pids(t *testing.T, file string, n int) (all []int) {
	t.Helper()
	eventually(t, "the processes do not say who they are", func() bool {
		text, _ := os.ReadFile(file)
		return strings.Count(string(text), "\n") == n
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pid)
	}
	return all
}

func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // also if its parent has not collected it yet
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(rest, "Z")
}

func wantGone(t *testing.T, what string, all []int) {
	t.Helper()
	for _, pid := range all {
		if !gone(pid) {
			t.Errorf("%s: process %d lives on", what, pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// family is a script whose three generations write their pids into a file; a trap says what they do
// on SIGTERM.
const family = `
trap "$TRAP" TERM
cat > "$FILE.sh" <<'end'
trap "$TRAP" TERM
echo $$ >> "$FILE"
sh -c 'trap "$TRAP" TERM; echo $$ >> "$FILE"; while :; do sleep 0.05; done' &
while :; do sleep 0.05; done
end
sh "$FILE.sh" &
echo $$ >> "$FILE"
while :; do sleep 0.05; done`

// A signal reaches all generations, which have all ended before the command does, even those that
// ignore it.
func TestSignalsReachGrandchildren(t *testing.T) {
	endpoint := server(t)
	for trap, killed := range map[string]bool{"exit 0": false, "": true} {
		for name, args := range supervisorsWith(endpoint, map[bool]time.Duration{
			false: patience, true: 500 * time.Millisecond,
		}[killed]) {
			what := fmt.Sprintf("%s, trap %q", name, trap)
			file := filepath.Join(t.TempDir(), "pids")
			t.Setenv("FILE", file)
			t.Setenv("TRAP", trap)
			p := start(t, append(args, "sh", "-c", family)...)
			all := pids(t, file, 3)
			p.signal(syscall.SIGTERM)
			code := p.wait()
			wantGone(t, what, all)
			want := map[bool]int{false: 0, true: 137}[killed]
			if name != "run" {
				want = 143
			}
			if code != want || strings.Contains(p.output(), "killed") != killed {
				t.Errorf("%s: status %d, want %d: %s", what, code, want, p.output())
			}
		}
	}
}

// A program ends at once after SIGTERM, while its child takes longer: the command holds the lock
// until the child has ended too.
func TestSlowGrandchild(t *testing.T) {
	endpoint := server(t)
	dir := t.TempDir()
	t.Setenv("FILE", filepath.Join(dir, "pids"))
	goOn := filepath.Join(dir, "go on")
	t.Setenv("GO_ON", goOn)
	p := start(t, "--endpoints", endpoint, "lock", "l", "--", "sh", "-c", `
sh -c 'trap "echo ending; until [ -e \"$GO_ON\" ]; do sleep 0.02; done; exit 0" TERM; echo $$ >> "$FILE"; while :; do sleep 0.02; done' &
exec sleep 1000`)
	all := pids(t, filepath.Join(dir, "pids"), 1)
	p.signal(syscall.SIGTERM)
	p.await("ending")
	if n := ctl(t, endpoint, "get", "--prefix", "l/", "--count-only"); n != "1\n" {
		t.Errorf("the lock is free before the grandchild has ended")
	}
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 143 {
		t.Errorf("status %d: %s", code, p.output())
	}
	wantGone(t, "lock", all)
}

// A kill of the command kills the program too, and frees its port.
func TestProgramDiesWithCommand(t *testing.T) {
	endpoint := server(t)
	for name, args := range supervisors(endpoint) {
		address := freeAddress(t)
		t.Setenv(listenOn, address)
		p := start(t, append(args, os.Args[0])...)
		p.await("listening")
		p.signal(syscall.SIGKILL)
		eventually(t, name+": the port is not free", func() bool {
			l, err := net.Listen("tcp", address)
			if err == nil {
				l.Close()
			}
			return err == nil
		})
	}
}

// A process was moved: the old one was killed, and its record stays until the TTL is over; the new
// one, elsewhere, waits for that, reports so once, and goes on as usual.
func TestRunMovedProcess(t *testing.T) {
	endpoint := server(t)
	run := func(address string, program ...string) *proc {
		return start(
			t,
			append(
				[]string{
					"--endpoints",
					endpoint,
					"run",
					"--service",
					"s",
					"--id",
					"one",
					"--addr",
					address,
					"--ttl",
					"3",
					"--serve",
					"0s",
					"--drain",
					"1s",
					"--",
				},
				program...)...)
	}
	old := run("127.0.0.1:1", "sleep", "1000")
	old.await(": up\n")
	short := run("127.0.0.1:3", "sh", "-c", "exit 5")
	if code := short.wait(); code != 5 {
		t.Errorf("one that ends while it waits: status %d: %s", code, short.output())
	}
	// The new one begins first: it might take longer to do so than the TTL, and would not find the
	// record.
	moved := run("127.0.0.1:2", "sleep", "1000")
	moved.await("taken")
	old.signal(syscall.SIGKILL)
	out := moved.await(": up\n")
	if n := strings.Count(out, "taken"); n != 1 {
		t.Errorf("said %d times that the id is taken: %s", n, out)
	}
	if list := ctl(t, endpoint, "svc", "ls", "s"); list != "one 127.0.0.1:2 up\n" {
		t.Errorf("%s", list)
	}
	moved.signal(syscall.SIGTERM)
	if code := moved.wait(); code != 143 {
		t.Errorf("status %d: %s", code, moved.output())
	}
}

// etcd is frozen: a drain takes its limit and not longer, and the program ends as usual, as it does
// if etcd was never there.
func TestRunWithoutEtcd(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	args := []string{
		"--endpoints",
		cluster.Endpoints()[0],
		"--command-timeout",
		"1s",
		"run",
		"--service",
		"s",
		"--addr",
		"127.0.0.1:1",
		"--drain",
		"1s",
		"--",
		"sh",
		"-c",
		"trap 'echo told; exit 7' TERM; echo began; while :; do sleep 0.05; done",
	}
	p := start(t, args...)
	p.await("began\n")
	p.await(": up\n")
	if err := cluster.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.signal(syscall.SIGTERM)
	p.await("told")
	if took := time.Since(began); took < time.Second || took > 20*time.Second {
		t.Errorf("the program got SIGTERM after %v", took)
	}
	if code := p.wait(); code != 7 || !strings.Contains(p.output(), "it expires") {
		t.Errorf("status %d: %s", code, p.output())
	}
	p = start(t, args...)
	p.await("began")
	p.await(": starting: ") // etcd does not answer
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 7 || strings.Contains(p.output(), "draining") {
		t.Errorf("without etcd: status %d: %s", code, p.output())
	}
}

// An outage of etcd that is longer than the TTL does not affect the program, and its record comes
// back.
func TestRunOutage(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	endpoint := cluster.Endpoints()[0]
	p := start(
		t,
		"--endpoints",
		endpoint,
		"run",
		"--service",
		"s",
		"--id",
		"one",
		"--addr",
		"127.0.0.1:1",
		"--ttl",
		"2",
		"--serve",
		"0s",
		"--drain",
		"1s",
		"--",
		"sleep",
		"1000",
	)
	p.await(": up\n")
	cluster.Members()[0].Kill()
	p.await(": lost")
	if err := cluster.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	p.await(": restored")
	if list := ctl(t, endpoint, "svc", "ls", "s"); list != "one 127.0.0.1:1 up\n" {
		t.Errorf("%s", list)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 143 {
		t.Errorf("status %d: %s", code, p.output())
	}
}

// A second signal ends the drain, however fast it comes.
func TestRunSecondSignal(t *testing.T) {
	endpoint := server(t)
	for _, pause := range []bool{true, false} {
		p := start(
			t,
			"--endpoints",
			endpoint,
			"run",
			"--service",
			"s",
			"--addr",
			"127.0.0.1:1",
			"--serve",
			"1h",
			"--drain",
			"1h",
			"--",
			"sh",
			"-c",
			"trap 'echo told; exit 7' TERM; echo began; while :; do sleep 0.05; done",
		)
		p.await("began\n")
		p.await(": up\n")
		p.signal(syscall.SIGTERM)
		if pause {
			p.await(": draining\n")
			if strings.Contains(p.output(), "told") {
				t.Errorf("the program got SIGTERM before it has drained: %s", p.output())
			}
			p.signal(syscall.SIGTERM)
		} else {
			// The kernel merges signals that come before the first was handled.
			tick := time.NewTicker(time.Millisecond)
			for ended := false; !ended; {
				select {
				case <-tick.C:
					p.cmd.Process.Signal(syscall.SIGTERM)
				case <-p.done:
					ended = true
				}
			}
			tick.Stop()
		}
		if code := p.wait(); code != 7 || !strings.Contains(p.output(), "told") {
			t.Errorf("status %d: %s", code, p.output())
		}
		if list := ctl(t, endpoint, "svc", "ls", "s"); list != "" {
			t.Errorf("a record is left: %s", list)
		}
	}
}

// After a program has got its signal, further signals reach it at once.
func TestSecondSignalReachesProgram(t *testing.T) {
	endpoint := server(t)
	for name, args := range supervisors(endpoint) {
		args = append(args[:len(args)-1:len(args)-1], "--grace", "1h", "--", "sh", "-c", `
trap 'trap "echo again; exit 7" TERM; echo told' TERM; echo began; while :; do sleep 0.05; done`)
		switch name {
		case "lock":
			args = append([]string{"--endpoints", endpoint, "lock", "--grace", "1h", "l", "--"}, args[len(args)-3:]...)
		case "elect":
			args = append(
				[]string{"--endpoints", endpoint, "elect", "--grace", "1h", "e", "me", "--"},
				args[len(args)-3:]...)
		}
		p := start(t, args...)
		p.await("began")
		p.signal(syscall.SIGTERM)
		p.await("told")
		p.signal(syscall.SIGTERM)
		p.await("again")
		want := map[bool]int{true: 7, false: 143}[name == "run"]
		if code := p.wait(); code != want {
			t.Errorf("%s: status %d: %s", name, code, p.output())
		}
	}
}

// SIGTERM before the program was healthy: there is no drain and no registration.
func TestRunEndedWhileStarting(t *testing.T) {
	endpoint := server(t)
	p := start(
		t,
		"--endpoints",
		endpoint,
		"run",
		"--service",
		"s",
		"--addr",
		"127.0.0.1:1",
		"--check",
		"tcp://"+freeAddress(t),
		"--check-every",
		"200ms",
		"--",
		"sh",
		"-c",
		"trap 'exit 7' TERM; echo began; while :; do sleep 0.05; done",
	)
	p.await("began")
	p.await(": starting: ")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 7 || strings.Contains(p.output(), "draining") ||
		strings.Count(p.output(), ": starting: ") != 1 {
		t.Errorf("status %d: %s", code, p.output())
	}
	if list := ctl(t, endpoint, "svc", "ls", "s"); list != "" {
		t.Errorf("registered: %s", list)
	}
}

// Several checks: all must pass before the instance is registered, and a later failure of one
// withdraws it.
func TestRunSeveralChecks(t *testing.T) {
	endpoint := server(t)
	address, ready := freeAddress(t), filepath.Join(t.TempDir(), "it's ready")
	t.Setenv(listenOn, address)
	t.Setenv("READY", ready)
	p := start(
		t,
		"--endpoints",
		endpoint,
		"-o",
		"json",
		"run",
		"--service",
		"s",
		"--id",
		"one",
		"--addr",
		address,
		"--check",
		"tcp://"+address,
		"--check",
		`command:test -e "$READY"`,
		"--check-every",
		"200ms",
		"--serve",
		"0s",
		"--drain",
		"1s",
		"--",
		os.Args[0],
	)
	p.await(`status 1"}`)
	if list := ctl(t, endpoint, "svc", "ls", "s"); list != "" {
		t.Errorf("registered: %s", list)
	}
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.await(`"event":"up"`)
	if err := os.Remove(ready); err != nil {
		t.Fatal(err)
	}
	p.await(`"event":"withdrawn"`)
	eventually(t, "it is registered still", func() bool { return ctl(t, endpoint, "svc", "ls", "s") == "" })
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(
		t,
		"it does not come back",
		func() bool { return ctl(t, endpoint, "svc", "ls", "s") == "one "+address+" up\n" },
	)
	p.signal(syscall.SIGTERM)
	p.wait()
}

// Other signals are passed on to all processes of the program; the one that nohup ignores stays
// ignored.
func TestPassedSignals(t *testing.T) {
	endpoint := server(t)
	for name, args := range supervisors(endpoint) {
		p := start(t, append(args, "sh", "-c", `
trap 'echo one; exit 9' USR1; trap 'echo hung up' HUP
sh -c 'trap "echo child hung up" HUP; echo began; while :; do sleep 0.05; done' & while :; do sleep 0.05; done`)...)
		p.await("began")
		p.signal(syscall.SIGHUP)
		p.await("hung up\n")
		p.await("child hung up\n")
		p.signal(syscall.SIGUSR1)
		if code := p.wait(); code != 9 {
			t.Errorf("%s: status %d: %s", name, code, p.output())
		}
	}
	nohup := append(
		append([]string{program}, supervisors(endpoint)["run"]...),
		"sh",
		"-c",
		"echo began; while :; do sleep 0.05; done",
	)
	p := startCommand(t, nil, exec.Command("nohup", nohup...))
	p.await("began")
	p.signal(syscall.SIGHUP)
	p.await(": up\n")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 143 {
		t.Errorf("nohup: status %d: %s", code, p.output())
	}
}

// secured returns a cluster in which root's password is root.
func secured(t *testing.T) *etcdtest.Cluster {
	t.Helper()
	cluster := etcdtest.Start(t, etcdtest.Options{})
	for _, args := range [][]string{{
		"user", "add", "root:root",
	}, {"role", "add", "root"}, {"user", "grant-role", "root", "root"}, {"auth", "enable", "--user", "root:root"}} {
		ctl(t, cluster.Endpoints()[0], args...)
	}
	return cluster
}

// Commands that serve while etcd is away also start without it, even if they have to log in. A
// wrong password does not stop a program from running, but is reported.
func TestLoginWithoutEtcd(t *testing.T) {
	cluster := secured(t)
	endpoint := cluster.Endpoints()[0]
	as := func(user string, args ...string) *proc {
		return start(
			t,
			append([]string{"--endpoints", endpoint, "--dial-timeout", "500ms", "--user", user}, args...)...)
	}
	run := []string{
		"run",
		"--service",
		"s",
		"--id",
		"one",
		"--addr",
		"127.0.0.1:1",
		"--drain",
		"100ms",
		"--",
		"sh",
		"-c",
		"echo began; exec sleep 1000",
	}
	// Other commands wait for etcd as long as their time limit allows, with a user as without.
	waiters := map[string][]string{
		"register": {"svc", "register", "s", "--id", "two", "--addr", "127.0.0.1:2", "--drain", "100ms"},
		"lock":     {"lock", "l", "--", "sh", "-c", "echo owns; exec sleep 1000"},
		"elect":    {"elect", "e", "me", "--", "sh", "-c", "echo owns; exec sleep 1000"},
		"listen":   {"elect", "--listen", "e"},
	}
	wrong := as("root:wrong", run...)
	wrong.await("began")
	wrong.await("authentication failed")
	wrong.signal(syscall.SIGTERM)
	if code := wrong.wait(); code != 143 {
		t.Errorf("status %d: %s", code, wrong.output())
	}
	if p := as("root:wrong", "--dial-timeout", "1m", "dns", "--listen", "127.0.0.1:0"); p.wait() != 1 {
		t.Errorf("dns with a wrong password: %s", p.output())
	}
	for name, args := range waiters {
		if p := as("root:wrong", append([]string{"--command-timeout", "1m"}, args...)...); p.wait() != 1 ||
			!strings.Contains(p.output(), "authentication failed") {
			t.Errorf("%s with a wrong password: %s", name, p.output())
		}
	}

	cluster.Members()[0].Kill()
	p := as("root:root", run...)
	p.await("began")
	as("root:root", "dns", "--listen", "127.0.0.1:0").await("answering for")
	as("root:root", "agent", "--http", "127.0.0.1:0").await("127.0.0.1:")
	waiting := make(map[string]*proc)
	for name, args := range waiters {
		waiting[name] = as("root:root", append([]string{"--command-timeout", "5m"}, args...)...)
	}
	for name, args := range waiters { // and no longer
		short := as("root:root", append([]string{"--command-timeout", "1s"}, args...)...)
		if code := short.wait(); code != 3 || !strings.Contains(short.output(), endpoint) {
			t.Errorf("%s, etcd away for too long: status %d: %s", name, code, short.output())
		}
	}
	if err := cluster.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	p.await(": up\n")
	waiting["register"].await("registered")
	waiting["lock"].await("owns")
	waiting["elect"].await("owns")
	waiting["listen"].await("me\n")
	waiting["run"] = p
	for name, p := range waiting {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 143 {
			t.Errorf("%s: status %d: %s", name, code, p.output())
		}
	}
}

// Other commands, too, wait for etcd as long with a user as without: up to the command's time
// limit, not that of the first connection. A wrong password ends them.
func TestCommandsOfAUserWait(t *testing.T) {
	cluster := secured(t)
	endpoint, member := cluster.Endpoints()[0], cluster.Members()[0]
	as := func(user, limit string, args ...string) *proc {
		return start(t, append([]string{
			"--endpoints", endpoint, "--dial-timeout", "100ms", "--command-timeout", limit, "--user", user,
		}, args...)...)
	}
	once := map[string][]string{
		"OK":             {"put", "w", "b"},
		"OK, says":       {"get", "says"},
		"is healthy":     {"endpoint", "health"},
		"root":           {"user", "list"},
		"Snapshot saved": {"snapshot", "save", filepath.Join(t.TempDir(), "saved.db")},
	}
	lasting := map[string][]string{"watched": {"watch", "w"}, "svc-1": {"svc", "watch", "s"}}
	console := []string{"console", "--listen", "127.0.0.1:0"}
	ctl(t, endpoint, "--user", "root:root", "put", "says", "OK, says")
	patient := append([]string{"--dial-timeout", "1m"}, console...) // its login would be later
	for _, args := range append(slices.Collect(maps.Values(once)), lasting["watched"], lasting["svc-1"], patient) {
		p := as("root:wrong", "1m", args...)
		if code := p.wait(); code != 1 || !strings.Contains(p.output(), "authentication failed") {
			t.Errorf("%q with a wrong password: status %d: %s", args, code, p.output())
		}
	}

	member.Kill()
	served := as("root:root", "5m", console...)
	served.await("Ctrl-C ends it")
	waiting := make(map[string]*proc)
	for _, list := range []map[string][]string{once, lasting} {
		for text, args := range list {
			waiting[text] = as("root:root", "5m", args...)
			short := as("root:root", "1s", args...) // and no longer
			if code := short.wait(); code != 3 || !strings.Contains(short.output(), endpoint) {
				t.Errorf("%q, etcd away for too long: status %d: %s", args, code, short.output())
			}
		}
	}
	if err := member.Restart(); err != nil {
		t.Fatal(err)
	}
	for text := range once {
		p := waiting[text]
		p.await(text)
		if code := p.wait(); code != 0 {
			t.Errorf("%q: status %d: %s", text, code, p.output())
		}
	}
	registered := as("root:root", "5m", "svc", "register", "s", "--id", "svc-1", "--addr", "127.0.0.1:2", "--drain",
		"0s")
	waiting["svc-1"].await("svc-1")
	registered.signal(syscall.SIGTERM)
	registered.wait()
	watched := waiting["watched"] // the watch may begin after any of these puts
	eventually(t, "nothing is watched", func() bool {
		ctl(t, endpoint, "--user", "root:root", "put", "w", "watched")
		return strings.Contains(watched.output(), "watched")
	})
	for p, want := range map[*proc]int{served: 0, watched: 130, waiting["svc-1"]: 130} {
		p.signal(syscall.SIGINT)
		if code := p.wait(); code != want {
			t.Errorf("%q: status %d: %s", p.cmd.Args[1:], code, p.output())
		}
	}
}
