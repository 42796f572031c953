// Faults runs the same workload with the official etcd client and with Fairlead's
// under each of several faults, and prints a table.
//
//	go run ./faults                       # all faults, both clients: about 10 minutes
//	go run ./faults -only "leader frozen" # one
//	go run ./faults -only leader -only-ours -repeat 10
//	go run ./faults -stall -repeat 10     # a member is frozen and thawed, deadlines of 5 s
//	go run ./faults -stall -explain       # the fate of each write that failed
//	go run ./faults -drawn 30m            # stalls of drawn lengths and a prober; ours only
//	go run ./faults -watches 10000        # so many of one client, on a leader that is killed
//	go run ./faults -watches 10000 -keys 10000 -foreign 25000 -after 8s -rate 400
//
// Every run has a cluster of its own: three real etcd processes. One client makes 100 calls a
// second, half reads and half writes, with deadlines of one second. Twenty others hold a lease
// with a TTL of 5 s and watch a key. All clients have the default configuration.
//
// With -repeat each fault runs that many times with our client (once with the official one, as
// often with -stall), and a second table shows how much the runs differ: the duration of an
// election decides how many calls can succeed, and varies.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/bench/internal/load"
)

const (
	holders  = 20              // clients with a lease and a watch
	leaseTTL = 5               // seconds
	deadline = time.Second     // of each call
	watchFor = 3 * time.Second // after the fault: a watch that delivers nothing then is silent
)

func main() {
	only := flag.String("only", "", "run only the faults whose name contains this")
	rate := flag.Int("rate", 100, "calls per second")
	length := flag.Duration("for", 20*time.Second, "how long to measure after the fault")
	repeat := flag.Int("repeat", 1, "how often to run each fault with our client")
	onlyOurs := flag.Bool("only-ours", false, "leave out the official client")
	stall := flag.Bool("stall", false, "stalls of 1.5 and 3 s, with deadlines of 5 s")
	explain := flag.Bool("explain", false, "tell of each failed write what was tried and whether it was executed")
	drawnFor := flag.Duration(
		"drawn",
		0,
		"instead, let members stand still for so long in all, each stall of a drawn length",
	)
	var many crowded
	flag.IntVar(&many.watches, "watches", 0, "instead, kill the leader under so many watches of one client")
	flag.IntVar(&many.keys, "keys", 100, "with -watches: how many keys they watch")
	flag.IntVar(&many.foreign, "foreign", 0, "with -watches: revisions of other keys since their last event")
	flag.DurationVar(&many.after, "after", 0, "with -watches: from these to the death of the leader, at least 3 s")
	flag.IntVar(&many.users, "users", 0, "with -watches: of so many users, each with a client, instead of one client")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is drawn")
	flag.Parse()
	if *drawnFor > 0 {
		alone, err := drawn(*drawnFor, *seed, *rate)
		if err == nil && alone > 0 {
			err = fmt.Errorf("%d calls failed beside no failed probe", alone)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	official, fairlead := side{"official", load.OfficialWith, load.OfficialAs},
		side{"fairlead", load.FairleadWith, load.FairleadAs}
	if many.watches > 0 {
		many.rate = *rate
		sides := []side{official, fairlead}
		if *onlyOurs {
			sides = sides[1:]
		}
		for range *repeat {
			for _, s := range sides {
				if err := manyWatches(many, s); err != nil {
					fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
					os.Exit(1)
				}
			}
		}
		return
	}
	list, deadline, theirs := faults, deadline, 1
	if *stall {
		list, deadline, theirs = stalls, stallDeadline, *repeat
		if !isSet("for") {
			*length = 6 * time.Second
		}
	}
	fmt.Printf("%s, %s, %d cores, etcd 3.7.3; %d calls/s, %v deadlines, %v after the fault\n\n",
		time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), *rate, deadline, *length)
	fmt.Println(
		"| fault | client | failed reads | failed writes | last failed read made | last failed write made | p50 | " +
			"p99 " +
			"| leases lost | watches silent |",
	)
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	failed := false
	var ends []end
	row := func(f fault, s side) *result {
		r, err := run(f, s, *rate, *length, deadline, *explain)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s, %s: %v\n", f.name, s.name, err)
			failed = true
			return nil
		}
		fmt.Printf("| %s | %s | %s |\n", f.name, s.name, r)
		ends = count(ends, f.name, s.name, r)
		return r
	}
	var sums []summary
	for _, f := range list {
		if !strings.Contains(f.name, *only) {
			continue
		}
		if !*onlyOurs {
			for range theirs {
				row(f, official)
			}
		}
		s := summary{fault: f.name}
		for range *repeat {
			if r := row(f, fairlead); r != nil {
				s.runs = append(s.runs, r)
			}
		}
		sums = append(sums, s)
	}
	if *repeat > 1 {
		printSummaries(sums)
	}
	printEnds(ends)
	if failed {
		os.Exit(1)
	}
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}
