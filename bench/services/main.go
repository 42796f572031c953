// Services measures services that find each other through etcd. 20 instances, processes of their
// own, are called 500 times a second in each way there is: gRPC with grpcdisc, HTTP with httpdisc,
// go-kit with our gokit, and "fairlead run" with DNS by a client that honours the TTL. Meanwhile
// they are restarted, killed and stopped, and etcd is away. An instance takes 20 ms for each call.
//
//	go run ./services                            # all rows: about eight minutes
//	go run ./services -only restart,kill -ways grpc,dns
//	go run ./services -only away -long           # also ten minutes without etcd
//
// The rows:
//
//	change   what following a service costs, per change, beside go-kit's Instancer
//	heap     what a registered instance takes of its process's heap
//	restart  a rolling restart: calls that failed
//	kill     SIGKILL of one: calls that failed, though they began after it was dead (DNS: after lease and TTL)
//	stop     SIGSTOP of one: idempotent calls that failed, and calls that were slow though they began after the first
//	         slow attempt's timeout; go-kit and DNS have no attempts
//	away     etcd away for 10 s, 60 s, with -long 10 min, and wiped: calls that failed
//
// Each figure is printed beside its bar. The exit status is 1 if a bar is missed. Figures of a
// busy machine say little.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

var rows = []string{"change", "heap", "restart", "kill", "stop", "away"}

func main() {
	only := flag.String("only", strings.Join(rows, ","), "the rows to measure")
	which := flag.String("ways", "grpc,http,gokit,dns", "the ways to call")
	n := flag.Int("instances", 5000, "how many are registered, of the row change")
	gap := flag.Duration("gap", 2*time.Millisecond, "between two of them")
	long := flag.Bool("long", false, "of the row away: also ten minutes")
	verbose := flag.Bool("v", false, "tell each kind of error")
	child := flag.String("follow", "", "follow as this kind; for the program itself")
	instance := flag.String("serve", "", "be an instance of this kind; for the program itself")
	endpoint := flag.String("endpoint", "", "where etcd is; for the program itself")
	service := flag.String("service", "", "what the instance offers; for the program itself")
	address := flag.String("address", "", "where to serve; for the program itself")
	id := flag.String("id", "", "the instance's; for the program itself")
	flag.Parse()
	var err error
	switch {
	case *child != "":
		err = follow(*child, *endpoint, *n)
	case *instance != "":
		err = serve(*instance, *endpoint, *service, *address, *id)
	default:
		err = measure(strings.Split(*only, ","), strings.Split(*which, ","), *n, *gap, *long, *verbose)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

func measure(only, which []string, n int, gap time.Duration, long, verbose bool) error {
	for _, r := range only {
		if !slices.Contains(rows, r) {
			return fmt.Errorf("no row %q", r)
		}
	}
	var chosen []*way
	for _, name := range which {
		i := slices.IndexFunc(ways, func(w *way) bool { return w.name == name })
		if i < 0 {
			return fmt.Errorf("no way %q", name)
		}
		chosen = append(chosen, ways[i])
	}
	t := &table{verbose: verbose}
	t.head()
	var errs []error
	if slices.Contains(only, "change") {
		errs = append(errs, changes(t, n, gap))
	}
	if slices.Contains(only, "heap") {
		errs = append(errs, heap(t))
	}
	var troubles []trouble
	for _, x := range []trouble{{"restart", restart}, {"kill", kill}, {"stop", stop}} {
		if slices.Contains(only, x.name) {
			troubles = append(troubles, x)
		}
	}
	if len(troubles) > 0 {
		for _, w := range chosen {
			errs = append(errs, troubled(t, w, troubles))
		}
	}
	if slices.Contains(only, "away") {
		errs = append(errs, away(t, chosen, long))
	}
	if t.missed > 0 {
		errs = append(errs, fmt.Errorf("%d bars are missed", t.missed))
	}
	return errors.Join(errs...)
}

// table prints lines as they are measured.
type table struct {
	missed  int
	verbose bool
}

func (t *table) head() {
	fmt.Printf("%-44s %-24s %-46s %s\n", "figure", "way", "measured", "bar")
}

// line prints one line; a figure without a bar counts as kept.
func (t *table) line(figure, way, measured, bar string, kept bool) {
	if !kept {
		t.missed++
		bar += "  MISSED"
	}
	fmt.Printf("%-44s %-24s %-46s %s\n", figure, way, measured, bar)
}
