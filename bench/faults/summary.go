package main

import (
	"fmt"
	"slices"
)

// summary holds the runs of one fault with our client.
type summary struct {
	fault string
	runs  []*result
}

// fewWrites is the percentage of its writes that a run with a lost leader may fail, in 9 of 10
// runs: the share of 20 s that a usual election costs. With another -for the share means nothing.
const fewWrites = 8

func printSummaries(list []summary) {
	fmt.Printf(
		"\nfairlead, lowest / median / highest of the runs; a read counts as made after the election once a member " +
			"says that it leads\n\n",
	)
	fmt.Printf(
		"| fault | runs | failed reads %% | failed reads made after the election | failed writes %% | runs with under "+
			"%d %% | last failed write made | new leader seen |\n",
		fewWrites,
	)
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, s := range list {
		if len(s.runs) == 0 {
			continue
		}
		few := 0
		for _, r := range s.runs {
			if r.calls.Of(true).FailedShare() < fewWrites {
				few++
			}
		}
		fmt.Printf("| %s | %d | %s | %s | %s | %d | %s s | %s s |\n", s.fault, len(s.runs),
			s.spread(func(r *result) float64 { return r.calls.Of(false).FailedShare() }),
			s.spread(func(r *result) float64 { return float64(len(r.calls.Of(false).Failed().After(r.led))) }),
			s.spread(func(r *result) float64 { return r.calls.Of(true).FailedShare() }), few,
			s.spread(func(r *result) float64 { return r.calls.Of(true).Failed().Last(r.struck).Seconds() }),
			s.spread(func(r *result) float64 { return r.led.Sub(r.struck).Seconds() }))
	}
}

// spread returns the lowest, the median and the highest of a figure.
func (s summary) spread(figure func(*result) float64) string {
	var list []float64
	for _, r := range s.runs {
		list = append(list, figure(r))
	}
	slices.Sort(list)
	return fmt.Sprintf("%.1f / %.1f / %.1f", list[0], list[len(list)/2], list[len(list)-1])
}

// end is how the writes of one client under one fault ended, in all runs.
type end struct {
	fault, client string
	runs, writes  int
	fates         fates
}

func count(list []end, fault, client string, r *result) []end {
	i := slices.IndexFunc(list, func(e end) bool { return e.fault == fault && e.client == client })
	if i < 0 {
		i = len(list)
		list = append(list, end{fault: fault, client: client})
	}
	list[i].runs++
	list[i].writes += len(r.calls.Of(true))
	list[i].fates.add(r.fates)
	return list
}

func printEnds(list []end) {
	fmt.Printf(
		"\nwhat became of the writes, as the cluster's history shows; \"lost\": a member had it, no answer came in " +
			"time, and it was never executed\n\n",
	)
	fmt.Println(
		"| fault | client | runs | writes | failed: never sent | failed, yet executed | lost by the servers | " +
			"executed twice | after a later one | answered, not executed |",
	)
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, e := range list {
		f := e.fates
		fmt.Printf(
			"| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d |\n",
			e.fault,
			e.client,
			e.runs,
			e.writes,
			f.unsent,
			f.executed,
			f.lost,
			f.twice,
			f.late,
			f.unkept,
		)
	}
}
