package main

import (
	"testing"
	"testing/synctest"
)

// Every policy keeps the bars. Cells that take long or repeat others are left to the program.
func TestTable(t *testing.T) {
	for _, p := range policies {
		for _, l := range latencies {
			for _, c := range cells() {
				if quick(p, c, l) {
					t.Run(p.name+"/"+l.name+"/"+c.String(), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							if why := measure(t, p, c, l).missed(p, c, l.name); why != "" {
								t.Error(why)
							}
						})
					})
				}
			}
		}
	}
}

func quick(p policy, c cell, l latency) bool {
	switch {
	case len(c.weights) > 20, c.rate == 1000:
		return false
	case c.rate == 10_000 && l.name != "noisy":
		return true
	}
	return !p.blind && c.calls < 50_000
}
