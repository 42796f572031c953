// Cache compares reads from package cache with the official client's, on one server.
//
//	go run ./cache                       # 3 rounds of 2 s for each contender
//	go run ./cache -readers 16 -rounds 5
//	go run ./cache -json figures.json    # writes the figures to a file too
//
// Serializable reads: time and allocations of one, and how many more two processors do than one.
// Consistent reads: how many reads a second many goroutines make, in rounds by turns, while
// nothing is written and while a process writes other keys all the time. Memory: what a cached key
// costs this process.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	official "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	prefix = "cached/"
	limit  = 2 * time.Minute
)

type settings struct {
	readers, keys, size, rounds, writes int
	each                                time.Duration
	file                                string
}

// figure is one line of the report.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bar   string  `json:"bar,omitempty"`
}

func main() {
	var s settings
	flag.IntVar(&s.readers, "readers", 64, "goroutines that read consistently")
	flag.IntVar(&s.keys, "keys", 10_000, "how many keys are cached")
	flag.IntVar(&s.size, "size", 256, "bytes of a value")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; of each figure the median is printed")
	flag.IntVar(&s.writes, "writes", 1000, "writes a second to other keys, for the second part")
	flag.DurationVar(&s.each, "each", 2*time.Second, "how long each contender works in a round")
	flag.StringVar(&s.file, "json", "", "write the figures to this file too")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "cache:", err)
		os.Exit(1)
	}
}

// bench is what the measurements share.
type bench struct {
	settings
	ctx    context.Context
	ours   *clientv3.Client
	theirs *official.Client
	cache  *cache.Cache
	out    []figure
}

func (b *bench) add(name string, value float64, unit, bar string) {
	b.out = append(b.out, figure{name, value, unit, bar})
}

func run(s settings) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	pair, err := load.NewPair()
	if err != nil {
		return err
	}
	defer pair.Close()
	b := &bench{settings: s, ctx: ctx, ours: pair.Ours, theirs: pair.Theirs}
	if err := b.fill(); err != nil {
		return err
	}
	before := heap()
	if b.cache, err = cache.New(b.ours, []string{prefix}); err != nil {
		return err
	}
	defer b.cache.Close()
	begin := time.Now()
	if err := b.cache.WaitReady(ctx); err != nil {
		return err
	}
	b.add(fmt.Sprintf("listing %d keys", s.keys), float64(time.Since(begin).Microseconds())/1000, "ms", "")
	b.add(fmt.Sprintf("memory of a key with a value of %d bytes", s.size), (heap()-before)/float64(s.keys), "bytes", "")
	for _, part := range []func() error{b.serializable, b.scaling, b.consistent} {
		if err := part(); err != nil {
			return err
		}
	}
	return b.print()
}

func (b *bench) fill() error {
	value := string(make([]byte, b.size))
	for i := 0; i < b.keys; {
		var ops []clientv3.Op
		for ; i < b.keys && len(ops) < 100; i++ {
			ops = append(ops, clientv3.OpPut(key(i), value))
		}
		if _, err := b.ours.Txn(b.ctx).Then(ops...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

func key(i int) string { return fmt.Sprintf("%s%06d", prefix, i) }

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func (b *bench) print() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "figure\tvalue\tunit\tbar\t")
	for _, f := range b.out {
		fmt.Fprintf(w, "%s\t%.2f\t%s\t%s\t\n", f.Name, f.Value, f.Unit, f.Bar)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return load.WriteJSON(b.file, b.out)
}
