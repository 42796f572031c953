// Picks prints how many calls each instance gets from the policies of package pick, for several
// weights, latencies, rates and numbers of instances, on a virtual clock:
//
//	go run ./picks                  # all of it: some minutes
//	go run ./picks -only P2C
//
// A line has three figures beside their bars. The first is how far the share of an instance is off
// its weight's at most, over a thousand expected picks of each instance (while latencies are
// equal; always for the policies that look at neither load nor latency). The second is the share
// of an instance that is ten times slower. The third is the longest time without a pick, in
// expected intervals. The exit status is 1 if a bar is missed. The cost of a pick:
//
//	go test -run '^$' -bench Pick ../discovery/pick
package main

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
)

func main() {
	testing.Init()
	only := flag.String("only", "", "the policy to show; all if empty")
	flag.Parse()
	fmt.Printf(
		"%-17s %-9s %-20s %10s %10s %10s\n",
		"policy",
		"latency",
		"weights and rate",
		"off weight",
		"slow one",
		"unpicked",
	)
	fmt.Printf(
		"%-17s %-9s %-20s %10s %10s %10s\n",
		"",
		"",
		"at most",
		fmt.Sprint(within),
		"0 to 1",
		fmt.Sprint(unpicked),
	)
	missed := 0
	show := func(t *testing.T) { // a test has a virtual clock
		for _, p := range policies {
			if *only != "" && *only != p.name {
				continue
			}
			for _, l := range latencies {
				for _, c := range cells() {
					var r result
					synctest.Test(t, func(t *testing.T) { r = measure(t, p, c, l) })
					slow, bad := "-", ""
					if l.name == "one slow" {
						slow = fmt.Sprintf("%.2f", r.slow)
					}
					if why := r.missed(p, c, l.name); why != "" {
						missed, bad = missed+1, "  MISSED: "+why
					}
					fmt.Printf(
						"%-17s %-9s %-20s %10.3f %10s %10.1f%s\n",
						p.name,
						l.name,
						c,
						r.off,
						slow,
						r.longest,
						bad,
					)
				}
			}
		}
		if missed > 0 {
			t.Errorf("%d lines miss a bar", missed)
		}
	}
	testing.Main(
		func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "Picks", F: show}},
		nil,
		nil,
	)
}
