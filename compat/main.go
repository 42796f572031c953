// Compat runs other projects' own tests over our client, with the drop-in module, and prints which
// pass.
//
//	go run .                            # everything, with our client
//	go run . --official                 # the same with the official client, for comparison
//	go run . --only kubernetes,coredns  # some suites; --list names them
//	go run . --quick                    # what CI runs
//	go run . --only etcd-client --run TestKVPut
//	go run . --markdown                 # the last results of both clients as a page; runs nothing
//
// The projects come through the Go module proxy, at versions that suites.go names, as writable
// copies in the user's cache directory. failures.txt beside a copy has the whole output of the
// tests that did not pass. If the program runs as root on Linux, each suite has a network of its
// own, so that the ports that it needs are free.
//
// explained.txt says which tests are not expected to pass, and why. The exit status is 1 if an
// unlisted test does not pass, or a test passes that is listed as different, and 2 if a suite
// could not be run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

const (
	exitBad   = 1
	exitNoRun = 2
)

type options struct {
	official bool
	run      string // only tests whose names match
	parallel int    // packages at a time
}

func main() {
	// Children are killed when the thread that started them ends, so the main thread starts them.
	runtime.LockOSThread()
	var o options
	flag.BoolVar(&o.official, "official", false, "run with the official client")
	flag.StringVar(&o.run, "run", "", "only the tests that match, as for go test")
	flag.IntVar(&o.parallel, "parallel", max(1, runtime.NumCPU()/2), "how many packages to test at a time")
	only := flag.String("only", "", "the suites to run, with commas between them; empty: all")
	quick := flag.Bool("quick", false, "only the suites that CI runs")
	list := flag.Bool("list", false, "name the suites and run nothing")
	markdown := flag.Bool("markdown", false, "print the last results of both clients as a page and run nothing")
	prepared := flag.String(
		"prepared",
		"",
		"for the program itself: run a suite that is prepared and print its results as JSON",
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	all := suites()
	chosen, err := choose(all, names, *quick)
	if err == nil && flag.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if err == nil && o.parallel < 1 {
		err = fmt.Errorf("--parallel %d: want at least 1", o.parallel)
	}
	if err != nil {
		fail(err)
	}
	root, err := checkout()
	if err != nil {
		fail(err)
	}
	base, err := cacheDir(root)
	if err != nil {
		fail(err)
	}
	w := newWorkspace(root, base, all, o)
	switch {
	case *list:
		for _, s := range chosen {
			fmt.Printf("%-24s %s@%s: %s\n", s.name, s.module, s.version, s.what)
		}
	case *markdown:
		err = w.page(os.Stdout)
	case *prepared != "":
		err = w.runPrepared(ctx, *prepared, os.Stdout)
	default:
		var code int
		code, err = w.runAll(ctx, chosen, os.Stdout)
		if err == nil && code != 0 {
			os.Exit(code)
		}
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "compat:", err)
	os.Exit(exitNoRun)
}
