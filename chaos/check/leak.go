package check

import (
	"runtime"
	"strings"
	"time"
)

// Leaks waits for at most grace until no goroutine of the client or of gRPC is left, and reports
// those that remain. It ignores this module's own goroutines and those that run the cluster and
// its proxies.
func Leaks(grace time.Duration) []Violation {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(grace); ; <-tick.C {
		left := leaked(stacks())
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return []Violation{
				violation(
					"leak",
					"%d goroutines are left after Close:\n%s",
					len(left),
					strings.Join(left[:min(len(left), 5)], "\n\n"),
				),
			}
		}
	}
}

func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
		}
	}
}

// leaked picks the goroutines that count: those that the client or gRPC started, and those that
// are inside one of them.
func leaked(stacks []string) []string {
	const module = "github.com/fairlead-go/fairlead/"
	var list []string
	for _, s := range stacks {
		counts := strings.Contains(s, "google.golang.org/grpc")
		for line := range strings.SplitSeq(s, "\n") {
			if path, ok := strings.CutPrefix(strings.TrimPrefix(line, "created by "), module); ok &&
				!strings.HasPrefix(
					path,
					"chaos",
				) && !strings.HasPrefix(path, "internal/etcdtest") && !strings.HasPrefix(path, "internal/faultnet") {
				counts = true
			}
		}
		if counts {
			list = append(list, s)
		}
	}
	return list
}
