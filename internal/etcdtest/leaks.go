package etcdtest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// leakGrace is how long goroutines may take to end after the test. Some may still be in their last
// call.
const leakGrace = 5 * time.Second

// CheckLeaks makes the test fail if goroutines of fairlead or gRPC that started during the test
// have not ended 5 s after it, and prints their stacks. Call it first in the test, so that the
// check comes after the test's other cleanups. It does not work in parallel tests, which would see
// each other's goroutines.
func CheckLeaks(t testing.TB) {
	t.Helper()
	before := map[string]bool{}
	for _, g := range goroutines() {
		before[g.id] = true
	}
	t.Cleanup(func() {
		if leaked := awaitGone(before); leaked != "" {
			t.Errorf("goroutines left behind:\n%s", leaked)
		}
	})
}

// shared is the server that the tests of one binary share. It is a variable of the package since
// unrelated tests use it, and Main ends it.
var shared struct {
	mu      sync.Mutex
	cluster *Cluster
}

// Shared returns a cluster of one member that all tests of this binary share. The first call starts
// it, and Main ends it. Tests must use keys of their own and leave the cluster's settings alone.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	c, err := SharedMain()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// SharedMain is Shared for callers without a test, such as testable examples.
func SharedMain() (*Cluster, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.cluster == nil {
		c, err := StartMain(Options{})
		if err != nil {
			return nil, err
		}
		shared.cluster = c
	}
	return shared.cluster, nil
}

// Main runs the tests of a package, ends the shared server, and fails if goroutines of fairlead or
// gRPC are left. It does not return. TestMain calls it.
func Main(m *testing.M) {
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the shared server:", err)
		code = max(code, 1)
	}
	if leaked := awaitGone(nil); leaked != "" {
		fmt.Fprintf(os.Stderr, "goroutines left behind by the tests:\n%s\n", leaked)
		code = max(code, 1)
	}
	os.Exit(code)
}

func stopShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.cluster == nil {
		return nil
	}
	c := shared.cluster
	shared.cluster = nil
	return c.Stop()
}

type goroutine struct{ id, stack string }

func goroutines() []goroutine {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var all []goroutine
	for stack := range strings.SplitSeq(strings.TrimSpace(string(buf)), "\n\n") {
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all = append(all, goroutine{id, stack})
	}
	return all
}

// awaitGone waits until all our goroutines have ended but those known before. It returns the stacks
// of those that have not.
func awaitGone(before map[string]bool) string {
	deadline := time.Now().Add(leakGrace)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var left []string
		for _, g := range goroutines() {
			if !before[g.id] && ours(g.stack) {
				left = append(left, g.stack)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
		<-tick.C
	}
}

// ours reports whether a goroutine counts as a leak. Two kinds have our names and do not count:
// those of the test framework, which run our test functions, and those of this package that keep a
// server.
func ours(stack string) bool {
	const module = "github.com/fairlead-go/fairlead"
	if !strings.Contains(stack, module) && !strings.Contains(stack, "google.golang.org/grpc") {
		return false
	}
	for _, exempt := range []string{
		"testing.tRunner", "testing.(*M).", "testing.runFuzzing", "testing.Main",
		module + "/internal/etcdtest.(*spawner)", module + "/internal/etcdtest.newSpawner",
		module + "/internal/etcdtest.(*peerHub)",
		module + "/internal/faultnet.",
	} {
		if strings.Contains(stack, exempt) {
			return false
		}
	}
	// The goroutine that checks for leaks does not count either.
	return !strings.Contains(stack, module+"/internal/etcdtest.awaitGone")
}
