// Promises measures what Fairlead's client promises for each trouble that users of etcd clients
// report, with real etcd processes, real faults and default configurations. The numbers of the
// rows are those of the requirements for the client.
//
//	go run ./promises                          # all rows: about five minutes
//	go run ./promises -rows 1,14 -repeat 5     # some of them, lowest/median/highest of 5
//	go run ./promises -json figures.json       # also for programs
//
// Each line has what was measured, the promise (at most), the figure, and the official client's
// figure: "here" if it was measured beside ours, else as measured when the requirements were
// written. A promise counts as kept if every run kept it. A promise that was not kept is no
// failure of this program: its status is 1 only if it could not measure. On a busy machine
// durations say little.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// row is one row of the requirements.
type row struct {
	no      int
	title   string
	measure func(context.Context, *trial) error
}

var rows = []row{
	{1, "a member that is connected but silent", silentMember},
	{2, "leases while other members are healthy", renewalsMove},
	{5, "compaction under a watch", compaction},
	{6, "watches after the token expired", expiredToken},
	{7, "logins at an expiry", logins},
	{9, "failing fast", failFast},
	{11, "cancel, progress and reconnect at once", watchStorm},
	{12, "unread events", unreadEvents},
	{13, "watches on a member without a leader", leaderless},
	{14, "many watches", manyWatches},
	{15, "sharing of streams", streamSharing},
	{16, "a revision that goes backwards", restoredBackup},
	{17, "retry storms", repetitions},
	{18, "writes while members restart", restarts},
	{19, "a member that defragments", defragmentation},
	{20, "a member that is far away", slowMember},
	{21, "endpoint hygiene", endpoints},
	{22, "renewals that require a leader", strictRenewals},
	{23, "a channel of renewals that nobody reads", unreadRenewals},
	{24, "much data beside little", muchData},
	{25, "long links", longLinks},
	{26, "connections that are forgotten", forgotten},
}

// rowLimit bounds the measurement of one row; none should come close to it.
func rowLimit() time.Duration { return 3*time.Minute + time.Duration(*bulk)*time.Second }

func main() {
	which := flag.String("rows", "", "numbers of the rows to measure, like 1,2,7; empty: all")
	repeat := flag.Int("repeat", 1, "how often to measure each row; lowest, median and highest are shown")
	file := flag.String("json", "", "write the figures to this file too")
	flag.Parse()
	chosen, err := choose(*which)
	if err == nil && *repeat < 1 {
		err = fmt.Errorf("-repeat %d: want at least 1", *repeat)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err := report(chosen, *repeat, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// choose returns the rows with the numbers in a list.
func choose(list string) ([]row, error) {
	if list == "" {
		return rows, nil
	}
	var chosen []row
	for s := range strings.SplitSeq(list, ",") {
		no, err := strconv.Atoi(strings.TrimSpace(s))
		i := slices.IndexFunc(rows, func(r row) bool { return r.no == no })
		if err != nil || i < 0 {
			return nil, fmt.Errorf("-rows: there is no row %q here", s)
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

func report(chosen []row, repeat int, file string) error {
	began := time.Now()
	fmt.Printf(
		"%s, %s, %d cores, etcd 3.7.3, loopback; runs of each row: %d\n",
		began.Format(time.DateOnly),
		runtime.Version(),
		runtime.NumCPU(),
		repeat,
	)
	var results []*result
	failed := 0
	for _, r := range chosen {
		res := &result{Row: r.no, Title: r.title}
		for range repeat {
			if err := res.run(r.measure); err != nil {
				fmt.Fprintf(os.Stderr, "row %d: %v\n", r.no, err)
				failed++
			}
		}
		res.print(os.Stdout)
		results = append(results, res)
	}
	summarize(os.Stdout, results, time.Since(began))
	if file != "" {
		if err := writeJSON(file, results); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d measurements failed", failed)
	}
	return nil
}

// run measures the row once and adds the figures.
func (res *result) run(measure func(context.Context, *trial) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), rowLimit())
	defer cancel()
	t := &trial{result: res}
	defer t.end()
	return measure(ctx, t)
}
