// Differential draws programs from a seed, runs them through the official client and through ours
// against two servers in the same state, and compares everything that the programs see: answers,
// errors, events, and how channels end.
//
//	go run ./differential -duration 10m           # all families, a new seed, which it prints
//	go run ./differential -only watch -seed 7     # families whose name contains "watch"
//	go run ./differential -only kv -seed 7 -n 1   # the program of seed 7 alone
//
// A difference is shrunk: the shortest program that still shows it is printed with its seed. The
// command fails on any difference that is not in the table of known ones (known_table.go), and if
// it compared too little.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/bench/differential/draw"
)

func main() {
	var c config
	flag.DurationVar(&c.duration, "duration", time.Minute, "how long to compare")
	flag.Uint64Var(&c.seed, "seed", 0, "where programs begin to be drawn; 0 for a new one")
	flag.StringVar(&c.only, "only", "", "only the families whose name contains this")
	flag.IntVar(&c.programs, "n", 0, "compare so many programs of each family, however long it takes")
	flag.IntVar(&c.enough, "enough", 5, "end when so many different differences of a family were found")
	flag.BoolVar(&c.verbose, "v", false, "print each program and what it sees")
	flag.Parse()
	if c.seed == 0 {
		c.seed = uint64(time.Now().UnixNano())
	}
	if err := run(c); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

type config struct {
	duration time.Duration
	seed     uint64
	only     string
	programs int // 0: as many as the time allows
	enough   int
	verbose  bool
}

// errDifferent is the outcome that this program looks for.
var errDifferent = errors.New("the clients differ")

func run(c config) error {
	families := draw.Match(c.only)
	if len(families) == 0 {
		return fmt.Errorf("no family's name contains %q; there are %v", c.only, draw.Names())
	}
	fmt.Printf("seed %d, %v\n", c.seed, families)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []*tally
	var errs []error
	for _, k := range kinds {
		k.families = slices.DeleteFunc(
			slices.Clone(k.families),
			func(f string) bool { return !slices.Contains(families, f) },
		)
		if len(k.families) == 0 {
			continue
		}
		wg.Go(func() {
			tallies, err := compareKind(c, k)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, tallies...)
			errs = append(errs, err)
		})
	}
	wg.Wait()
	slices.SortFunc(all, func(a, b *tally) int { return cmp.Compare(a.family, b.family) })
	return errors.Join(errors.Join(errs...), summary(all, c.programs > 0))
}

func compareKind(c config, k kind) ([]*tally, error) {
	r, err := newRig(k)
	if err != nil {
		return nil, err
	}
	tallies, err := r.compare(c, k.families)
	return tallies, errors.Join(err, r.stop())
}
