// Speed compares what the official client and ours cost a program: processor time, allocations,
// memory, goroutines and wall time of the same work on the same server. The two take turns in one
// process; the ratio is what counts. Processor time is that of this whole process; the server is
// another process.
//
//	go run ./speed                   # all, about three minutes
//	go run ./speed -only calls,list
//	go run ./speed -json speed.json
//
// A row without the official client is for information only.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// limit bounds the whole program.
const limit = 15 * time.Minute

// work is one kind of work.
type work struct {
	name string
	what string
	do   func(context.Context, *run) error
}

var works = []work{
	{"calls", "single calls", calls},
	{"list", "list 10,000 keys of 256 B", list},
	{"replay", "replay 100,000 watch events of 256 B", replay},
	{"large", "the same with 200 MB of live heap", replayLarge},
	{"one", "a response with one event of 256 B", oneEvent},
	{"kept", "a kept key-value of an answer of 1,000 of 4 KB", keptOne},
	{"watchers", "10,000 watchers", watchers},
	{"leases", "10,000 leases of TTL 60 s", leases},
	{"short", "10,000 leases of TTL 9 s", shortLeases},
	{"many", "100,000 leases of TTL 60 s on one client", manyLeases},
}

// figure is a line of the report. A bar of 0 means none.
type figure struct {
	Work     string  `json:"work"`
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Official float64 `json:"official,omitempty"`
	Fairlead float64 `json:"fairlead"`
	Bar      float64 `json:"bar,omitempty"`   // of the ratio, or of ours if Absolute
	Absolute bool    `json:"absolute"`        // the bar is for our figure, not for the ratio
	Ratio    float64 `json:"ratio,omitempty"` // ours to the official one
}

// run is the report so far.
type run struct {
	work    string
	figures []figure
}

func (r *run) ratio(what, unit string, official, fairlead, bar float64) {
	f := figure{Work: r.work, What: what, Unit: unit, Official: official, Fairlead: fairlead, Bar: bar}
	if official > 0 {
		f.Ratio = fairlead / official
	}
	r.figures = append(r.figures, f)
}

func (r *run) absolute(what, unit string, official, fairlead, bar float64) {
	r.ratio(what, unit, official, fairlead, bar)
	r.figures[len(r.figures)-1].Absolute = true
}

func main() {
	only := flag.String("only", "", "which work, by name, separated by commas; all if empty")
	file := flag.String("json", "", "also write the figures to this file")
	profile := flag.String("cpuprofile", "", "write a profile of both clients' processor time to this file")
	flag.Parse()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "speed:", err)
			os.Exit(1)
		}
		defer f.Close()
		defer pprof.StopCPUProfile()
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := report(ctx, *only, *file); err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, only, file string) error {
	names := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, n := range names {
		if !slices.ContainsFunc(works, func(w work) bool { return w.name == n }) {
			return fmt.Errorf("no work %q", n)
		}
	}
	fmt.Printf(
		"%s, official client %s, %s, %d cores\n\n",
		time.Now().Format(time.DateOnly),
		version.Version,
		runtime.Version(),
		runtime.NumCPU(),
	)
	var all []figure
	for _, w := range works {
		if len(names) > 0 && !slices.Contains(names, w.name) {
			continue
		}
		r := &run{work: w.what}
		if err := w.do(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		r.print()
		all = append(all, r.figures...)
	}
	return load.WriteJSON(file, all)
}

func (r *run) print() {
	fmt.Println(r.work)
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range r.figures {
		official, ratio, bar := "", "", ""
		if f.Official > 0 || f.Ratio > 0 {
			official = "official " + amount(f.Official)
		}
		if f.Ratio > 0 {
			ratio = fmt.Sprintf("ratio %.2f", f.Ratio)
		}
		if f.Bar > 0 {
			got := f.Ratio
			if f.Absolute {
				got = f.Fairlead
			}
			bar = fmt.Sprintf(
				"at most %s: %s",
				amount(f.Bar),
				map[bool]string{true: "reached", false: "NOT REACHED"}[got <= f.Bar],
			)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\tfairlead %s\t%s\t%s\n", f.What, f.Unit, official, amount(f.Fairlead), ratio, bar)
	}
	tw.Flush()
	fmt.Println()
}

func amount(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// server runs etcd for one kind of work.
func server(o etcdtest.Options, do func(*etcdtest.Cluster) error) error {
	cl, err := etcdtest.StartMain(o)
	if err != nil {
		return err
	}
	defer cl.Stop()
	return do(cl)
}
