// Batch measures single-key reads by many goroutines, through the official client, through ours,
// and through ours with package batch. They take turns, round after round, on one server.
//
//	go run ./batch                            # 512 readers, 5 rounds of 3 s each
//	go run ./batch -readers 64 -rounds 3
//	go run ./batch -writers                   # puts instead of gets
//
// It prints the median round of each: operations per second, and per operation the processor time
// (of this process, without the server's), bytes and allocations. After that comes the duration of
// a single read while nothing else happens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	official "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/clientv3"
)

type settings struct {
	workers, keys, size, rounds int
	each                        time.Duration
	writers                     bool
	file                        string
}

// idleReads is the number of reads, one after the other, whose median is the latency.
const idleReads = 2000

func main() {
	var s settings
	flag.IntVar(&s.workers, "readers", 512, "goroutines")
	flag.IntVar(&s.keys, "keys", 10000, "how many keys there are")
	flag.IntVar(&s.size, "size", 100, "bytes of a value")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds")
	flag.DurationVar(&s.each, "each", 3*time.Second, "how long each client works in a round")
	flag.BoolVar(&s.writers, "writers", false, "put instead of get")
	flag.StringVar(&s.file, "json", "", "also write the figures to this file")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "batch:", err)
		os.Exit(1)
	}
}

// figure is the result of one client.
type figure struct {
	Client    string  `json:"client"`
	PerSecond float64 `json:"per_second"`
	Ratio     float64 `json:"ratio"`        // to the first client
	CPU       float64 `json:"cpu_us"`       // microseconds per operation
	Bytes     float64 `json:"bytes"`        // per operation
	Allocs    float64 `json:"allocs"`       // per operation
	Idle      float64 `json:"idle_read_us"` // median of one read at a time, microseconds
}

type contender struct {
	name string
	get  func(ctx context.Context, key string) error
	put  func(ctx context.Context, key, val string) error
}

func run(s settings) error {
	pair, err := load.NewPair()
	if err != nil {
		return err
	}
	defer pair.Close()
	cluster, theirs, ours := pair.Cluster, pair.Theirs, pair.Ours
	together := batch.NewKV(ours, batch.WithWrites())
	contenders := []contender{
		{"official client",
			func(ctx context.Context, key string) error { return found(theirs.Get(ctx, key)) },
			func(ctx context.Context, key, val string) error { return second(theirs.Put(ctx, key, val)) }},
		ofOurs("clientv3", ours), ofOurs("clientv3 with batch", together),
	}
	names, value := make([]string, s.keys), string(make([]byte, s.size))
	for i := range names {
		names[i] = fmt.Sprintf("bench/%06d", i)
	}
	if err := fill(together, names, value); err != nil {
		return err
	}
	rounds := make([][]figure, len(contenders))
	for range s.rounds {
		for i, c := range contenders {
			f, err := measure(s, c, names, value)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			rounds[i] = append(rounds[i], f)
		}
	}
	var table []figure
	for i, c := range contenders {
		slices.SortFunc(rounds[i], func(a, b figure) int { return int(a.PerSecond - b.PerSecond) })
		f := rounds[i][len(rounds[i])/2]
		f.Client = c.name
		if f.Idle, err = idle(c, names[0]); err != nil {
			return err
		}
		table = append(table, f)
		table[i].Ratio = f.PerSecond / table[0].PerSecond
	}
	what := "gets"
	if s.writers {
		what = "puts"
	}
	fmt.Printf(
		"etcd %s, %d goroutines, %s of single keys with values of %d bytes, %d processors\n\n",
		cluster.Version(),
		s.workers,
		what,
		s.size,
		runtime.NumCPU(),
	)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "client\tper second\tratio\tclient's CPU\tbytes\tallocations\tidle read")
	for _, f := range table {
		fmt.Fprintf(
			w,
			"%s\t%.0f\t%.2f\t%.1f µs\t%.0f\t%.1f\t%.0f µs\n",
			f.Client,
			f.PerSecond,
			f.Ratio,
			f.CPU,
			f.Bytes,
			f.Allocs,
			f.Idle,
		)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return load.WriteJSON(s.file, table)
}

func ofOurs(name string, kv clientv3.KV) contender {
	return contender{name,
		func(ctx context.Context, key string) error {
			r, err := kv.Get(ctx, key)
			if err == nil && len(r.Kvs) != 1 {
				err = errors.New("no such key: " + key)
			}
			return err
		},
		func(ctx context.Context, key, val string) error { return second(kv.Put(ctx, key, val)) },
	}
}

func found(r *official.GetResponse, err error) error {
	if err == nil && len(r.Kvs) != 1 {
		err = errors.New("no such key")
	}
	return err
}

func second[T any](_ T, err error) error { return err }

// many runs f in n goroutines until all have returned.
func many(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func fill(kv clientv3.KV, names []string, value string) error {
	const writers = 64
	return many(writers, func(w int) error {
		for i := w; i < len(names); i += writers {
			if _, err := kv.Put(context.Background(), names[i], value); err != nil {
				return err
			}
		}
		return nil
	})
}

// measure lets one client work for a while.
func measure(s settings, c contender, names []string, value string) (figure, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.each+time.Minute)
	defer cancel()
	runtime.GC()
	var before, after runtime.MemStats
	var ops atomic.Int64
	var over atomic.Bool
	stop := time.AfterFunc(s.each, func() { over.Store(true) })
	defer stop.Stop()
	runtime.ReadMemStats(&before)
	cpu, began := load.ProcessorTime(), time.Now()
	err := many(s.workers, func(i int) error {
		n := int64(0)
		defer func() { ops.Add(n) }()
		for k := i * 7919; !over.Load(); k += 104729 {
			name, err := names[k%len(names)], error(nil)
			if s.writers {
				err = c.put(ctx, name, value)
			} else {
				err = c.get(ctx, name)
			}
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	took := time.Since(began)
	cpu = load.ProcessorTime() - cpu
	runtime.ReadMemStats(&after)
	n := float64(ops.Load())
	return figure{
		PerSecond: n / took.Seconds(), CPU: float64(cpu.Microseconds()) / n,
		Bytes: float64(after.TotalAlloc-before.TotalAlloc) / n, Allocs: float64(after.Mallocs-before.Mallocs) / n,
	}, err
}

// idle returns how long one read takes while there is no other, in microseconds.
func idle(c contender, key string) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	took := make([]time.Duration, idleReads)
	for i := range took {
		began := time.Now()
		if err := c.get(ctx, key); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Nanoseconds()) / 1000, nil
}
