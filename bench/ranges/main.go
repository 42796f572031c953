// Ranges measures reading very many keys: with one big Get of the official client, with its pages
// of 10,000 keys, and with our Range, streamed and in pages. They take turns, round after round,
// on one server.
//
//	go run ./ranges                      # 1,000,000 keys with values of 100 bytes, 3 rounds
//	go run ./ranges -keys 100000 -size 1000 -rounds 5
//
// It prints the median of each: wall time, this process' processor time, how far the heap grew
// above its size before (sampled every 2 ms, garbage included), and bytes and allocations per key.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	official "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	prefix = "bench/"
	// theirPage is how many keys a page of the official client has.
	theirPage = 10000
	// sampling is the interval between two samples of the heap.
	sampling = 2 * time.Millisecond
	// limit bounds one reading.
	limit = 2 * time.Minute
)

func main() {
	keys := flag.Int("keys", 1000000, "how many")
	size := flag.Int("size", 100, "bytes of a value")
	rounds := flag.Int("rounds", 3, "rounds")
	file := flag.String("json", "", "also write the figures to this file")
	flag.Parse()
	if err := run(*keys, *size, *rounds, *file); err != nil {
		fmt.Fprintln(os.Stderr, "ranges:", err)
		os.Exit(1)
	}
}

// figure is the cost of one way of reading.
type figure struct {
	Way    string  `json:"way"`
	Wall   float64 `json:"wall_ms"`
	Ratio  float64 `json:"ratio"` // of the wall time, to the first way
	CPU    float64 `json:"cpu_ms"`
	Heap   float64 `json:"heap_mib"` // peak growth
	Bytes  float64 `json:"bytes"`    // allocated per key
	Allocs float64 `json:"allocs"`   // per key
}

// way reads all keys and returns how many there were.
type way struct {
	name string
	read func(ctx context.Context) (int, error)
}

// noStreams is a KV client of a server that does not know RangeStream.
type noStreams struct{ pb.KVClient }

func (noStreams) RangeStream(
	context.Context,
	*pb.RangeRequest,
	...grpc.CallOption,
) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	return nil, status.Error(codes.Unimplemented, "unknown method RangeStream")
}

func run(keys, size, rounds int, file string) error {
	pair, err := load.NewPair("--quota-backend-bytes=8000000000")
	if err != nil {
		return err
	}
	defer pair.Close()
	cluster, theirs, ours := pair.Cluster, pair.Theirs, pair.Ours
	paged, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer paged.Close()
	paged.KV = clientv3.NewKVFromKVClient(noStreams{clientv3.RetryKVClient(paged)}, paged)

	began := time.Now()
	value := strings.Repeat("x", size)
	loaded, err := ours.PutAll(context.Background(), func(yield func(string, string) bool) {
		for i := range keys {
			if !yield(fmt.Sprintf("%s%08d", prefix, i), value) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	loading := time.Since(began)

	ways := []way{
		{"official client, one Get", func(ctx context.Context) (int, error) {
			r, err := theirs.Get(ctx, prefix, official.WithPrefix())
			if err != nil {
				return 0, err
			}
			return len(r.Kvs), nil
		}},
		{"official client, pages", func(ctx context.Context) (int, error) { return pages(ctx, theirs) }},
		{"clientv3, one Get", func(ctx context.Context) (int, error) {
			r, err := ours.Get(ctx, prefix, clientv3.WithPrefix())
			if err != nil {
				return 0, err
			}
			return len(r.Kvs), nil
		}},
		{"clientv3, Range, streamed", func(ctx context.Context) (int, error) { return iterate(ctx, ours) }},
		{"clientv3, Range, paged", func(ctx context.Context) (int, error) { return iterate(ctx, paged) }},
	}
	results := make([][]figure, len(ways))
	for range rounds {
		for i, w := range ways {
			f, err := measure(w, keys)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			results[i] = append(results[i], f)
		}
	}
	var table []figure
	for i, w := range ways {
		slices.SortFunc(results[i], func(a, b figure) int { return int(a.Wall - b.Wall) })
		f := results[i][rounds/2]
		f.Way = w.name
		for _, r := range results[i] {
			f.Heap = max(f.Heap, r.Heap) // a bound is kept in every round or not at all
		}
		table = append(table, f)
		table[i].Ratio = f.Wall / table[0].Wall
	}
	fmt.Printf(
		"etcd %s, %d keys with values of %d bytes, %d processors\n",
		cluster.Version(),
		keys,
		size,
		runtime.NumCPU(),
	)
	fmt.Printf(
		"loaded by PutAll in %v: %.0f keys per second, %d chunks\n\n",
		loading.Round(time.Millisecond),
		float64(loaded.Keys)/loading.Seconds(),
		loaded.Chunks,
	)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "way\twall\tratio\tclient's CPU\tpeak heap growth\tbytes per key\tallocations per key")
	for _, f := range table {
		fmt.Fprintf(
			w,
			"%s\t%.0f ms\t%.2f\t%.0f ms\t%.1f MiB\t%.0f\t%.3f\n",
			f.Way,
			f.Wall,
			f.Ratio,
			f.CPU,
			f.Heap,
			f.Bytes,
			f.Allocs,
		)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return load.WriteJSON(file, table)
}

func iterate(ctx context.Context, c *clientv3.Client) (n int, err error) {
	for _, err := range c.Range(ctx, prefix) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func pages(ctx context.Context, c *official.Client) (n int, err error) {
	from, rev := prefix, int64(0)
	for {
		r, err := c.Get(
			ctx,
			from,
			official.WithRange(official.GetPrefixRangeEnd(prefix)),
			official.WithLimit(theirPage),
			official.WithRev(rev),
		)
		if err != nil {
			return n, err
		}
		n += len(r.Kvs)
		if !r.More {
			return n, nil
		}
		from, rev = string(r.Kvs[len(r.Kvs)-1].Key)+"\x00", r.Header.Revision
	}
}

// measure reads once.
func measure(w way, keys int) (figure, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	runtime.GC()
	runtime.GC() // the second one sweeps what the first one found
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	base, stop, peak := heap(), make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(sampling)
		defer tick.Stop()
		most := uint64(0)
		for {
			most = max(most, heap())
			select {
			case <-tick.C:
			case <-stop:
				peak <- max(most, heap())
				return
			}
		}
	}()
	cpu, began := load.ProcessorTime(), time.Now()
	n, err := w.read(ctx)
	took := time.Since(began)
	cpu = load.ProcessorTime() - cpu
	close(stop)
	most := <-peak
	runtime.ReadMemStats(&after)
	if err == nil && n != keys {
		err = fmt.Errorf("%d of %d keys", n, keys)
	}
	return figure{
		Wall: float64(took.Microseconds()) / 1000, CPU: float64(cpu.Microseconds()) / 1000,
		Heap: float64(most-min(base, most)) / (1 << 20),
		Bytes: float64(
			after.TotalAlloc-before.TotalAlloc,
		) / float64(
			keys,
		), Allocs: float64(after.Mallocs-before.Mallocs) / float64(keys),
	}, err
}

// heap returns how many bytes objects take, including those that are not collected yet.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
