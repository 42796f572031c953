package leasing

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"

	"github.com/fairlead-go/fairlead/chaos/history"
)

const (
	leasingPrefix = "leasing/"
	keyPrefix     = "k/"
	keyCount      = 9
	ttl           = 2 * time.Second // the least that the server grants with its default election timeout
	callLimit     = 3 * time.Second

	// Keys should be owned most of the time, so writes are few: each asks the owner to give its
	// key up and keeps anyone from owning the key for a second.
	thinkRead  = 8 * time.Millisecond
	thinkWrite = 2 * time.Second
)

// worker is a client with a leasing KV: one goroutine reads, one writes.
type worker struct {
	id    int
	start time.Time // of the run, with a monotonic reading of this process
	kv    clientv3.KV
	sent  *atomic.Int64 // calls to the cluster
	ops   [2][]history.Op
	local int // reads answered from memory
	// hurry makes the reader read without a pause for a while. Capacity 1.
	hurry chan struct{}
}

// counting counts the calls to the cluster.
type counting struct {
	clientv3.KV
	n atomic.Int64
}

func (c *counting) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	c.n.Add(1)
	return c.KV.Do(ctx, op)
}

// open makes the worker's client; the function that it returns closes it.
func open(id int, start time.Time, endpoints []string) (*worker, func(), error) {
	cl, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		return nil, nil, err
	}
	c := &counting{KV: cl.KV}
	cl.KV = c
	kv, closeKV, err := leasing.NewKV(cl, leasingPrefix, concurrency.WithTTL(int(ttl/time.Second)))
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	w := &worker{id: id, start: start, kv: kv, sent: &c.n, hurry: make(chan struct{}, 1)}
	return w, func() { closeKV(); cl.Close() }, nil
}

// run makes calls until ctx ends.
func (w *worker) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.read(ctx) })
	wg.Go(func() { w.write(ctx) })
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (w *worker) read(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(uint64(w.id), 0))
	for ctx.Err() == nil {
		pause(ctx, time.Duration(rnd.Int64N(int64(2*thinkRead))))
		w.readOne(ctx, rnd, anyKey(rnd))
		select {
		case <-w.hurry:
			w.race(ctx, rnd)
		default:
		}
	}
}

// race reads the keys that the worker owns as fast as it can, because the process is about to be
// stopped. The reads that matter come just after it goes on, before anything else has noticed.
func (w *worker) race(ctx context.Context, rnd *rand.Rand) {
	var mine []string
	for i := range keyCount {
		key := fmt.Sprint(keyPrefix, i)
		w.readOne(ctx, rnd, key)
		if before := w.local; w.readOne(ctx, rnd, key) && w.local > before {
			mine = append(mine, key)
		}
	}
	if len(mine) == 0 {
		return
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		n, local := len(w.ops[0]), w.local
		if !w.readOne(ctx, rnd, mine[rnd.IntN(len(mine))]) {
			return
		}
		if o := &w.ops[0][n]; o.Return-o.Call < 10*time.Millisecond { // like the others, not worth checking
			w.ops[0], w.local = w.ops[0][:n], local
		}
	}
	for range 300 {
		w.readOne(ctx, rnd, mine[rnd.IntN(len(mine))])
	}
}

func anyKey(rnd *rand.Rand) string { return fmt.Sprint(keyPrefix, rnd.IntN(keyCount)) }

// readOne reads a key and reports whether that succeeded.
func (w *worker) readOne(ctx context.Context, rnd *rand.Rand, key string) bool {
	get := func(ctx context.Context) (*clientv3.GetResponse, error) { return w.kv.Get(ctx, key) }
	if rnd.IntN(4) == 0 {
		get = func(ctx context.Context) (*clientv3.GetResponse, error) {
			r, err := w.kv.Txn(ctx).
				If(clientv3.Compare(clientv3.Version(key), "=", 0)).
				Else(clientv3.OpGet(key)).
				Commit()
			if err != nil || r.Succeeded {
				return &clientv3.GetResponse{}, err
			}
			return (*clientv3.GetResponse)(r.Responses[0].GetResponseRange()), nil
		}
	}
	before := w.sent.Load()
	w.call(ctx, 0, history.Op{Kind: history.Get, Keys: []string{key}}, func(ctx context.Context, o *history.Op) error {
		r, err := get(ctx)
		if err == nil {
			o.Saw = found(r)
		}
		return err
	})
	if w.sent.Load() == before {
		w.local++
	}
	return w.ops[0][len(w.ops[0])-1].Outcome == history.OK
}

func found(r *clientv3.GetResponse) (list []history.KV) {
	for _, kv := range r.Kvs {
		list = append(list, history.KV{Key: string(kv.Key), Value: string(kv.Value), ModRev: kv.ModRevision})
	}
	return list
}

func (w *worker) write(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(uint64(w.id), 1))
	last := make(map[string]int64)
	for n := 0; ctx.Err() == nil; n++ {
		key := anyKey(rnd)
		o := history.Op{Keys: []string{key}, Value: fmt.Sprintf("%d-%d", w.id, n)}
		var f func(context.Context, *history.Op) error
		switch rnd.IntN(4) {
		case 0:
			o.Kind, o.Expect = history.CAS, last[key]
			f = w.cas
		case 1:
			o.Kind, o.Keys = history.Delete, append(o.Keys, fmt.Sprint("mark/", w.id))
			f = w.remove
		default:
			o.Kind = history.Put
			f = w.put
		}
		last[key] = w.call(ctx, 1, o, f)
		pause(ctx, time.Duration(rnd.Int64N(int64(2*thinkWrite))))
	}
}

// sweep writes every key once. It is called for a worker that does not run.
func (w *worker) sweep(ctx context.Context) {
	for i := range keyCount {
		o := history.Op{
			Kind:  history.Put,
			Keys:  []string{fmt.Sprint(keyPrefix, i)},
			Value: fmt.Sprintf("%d-%d", w.id, len(w.ops[1])),
		}
		w.call(ctx, 1, o, w.put)
	}
}

func (w *worker) put(ctx context.Context, o *history.Op) error {
	r, err := w.kv.Put(ctx, o.Keys[0], o.Value)
	if err == nil {
		o.Rev = r.Header.Revision
	}
	return err
}

func (w *worker) cas(ctx context.Context, o *history.Op) error {
	r, err := w.kv.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(o.Keys[0]), "=", o.Expect)).
		Then(clientv3.OpPut(o.Keys[0], o.Value)).Else(clientv3.OpGet(o.Keys[0])).Commit()
	if err != nil {
		return err
	}
	o.Rev, o.Applied = r.Header.Revision, r.Succeeded
	if !r.Succeeded {
		o.Saw = found((*clientv3.GetResponse)(r.Responses[0].GetResponseRange()))
	}
	return nil
}

func (w *worker) remove(ctx context.Context, o *history.Op) error {
	r, err := w.kv.Txn(ctx).
		Then(clientv3.OpDelete(o.Keys[0], clientv3.WithPrevKV()), clientv3.OpPut(o.Keys[1], o.Value)).
		Commit()
	if err == nil {
		o.Rev = r.Header.Revision
		o.Saw = found(&clientv3.GetResponse{Kvs: r.Responses[0].GetResponseDeleteRange().PrevKvs})
	}
	return err
}

// call makes and records a call, and returns the modification revision that its key then has.
func (w *worker) call(ctx context.Context, list int, o history.Op, f func(context.Context, *history.Op) error) int64 {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	o.ID, o.Client = (2*w.id+list)*1_000_000+len(w.ops[list]), 2*w.id+list
	o.Call = time.Since(w.start)
	err := f(ctx, &o)
	o.Return, o.Outcome = time.Since(w.start), history.OK
	if err != nil {
		o.Err, o.Outcome = err.Error(), history.Failed
		if o.Kind.Writes() && clientv3.OutcomeUnknown(err) {
			o.Outcome = history.Unknown
		}
	}
	w.ops[list] = append(w.ops[list], o)
	switch {
	case len(o.Saw) > 0 && o.Kind != history.Delete:
		return o.Saw[0].ModRev
	case o.Kind == history.Put, o.Applied:
		return o.Rev
	}
	return 0
}

// A second process of this test is a worker too, so that it can be stopped. It takes its orders,
// "hurry" and "end", line by line from its input.

// childEnv holds the number of the worker, the start of the run in nanoseconds since 1970, and the
// endpoints, separated by spaces.
const childEnv = "FAIRLEAD_TEST_LEASING_WORKER"

// report is what a child prints at its end.
type report struct {
	Ops   []history.Op
	Local int
}

func child(args []string) error {
	id, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ns, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	// This is the clock of the run in the monotonic time of this process. The two processes differ
	// by less than it takes to read the clock, unless somebody sets the clock in between.
	now := time.Now()
	w, closeWorker, err := open(id, now.Add(-time.Duration(now.UnixNano()-ns)), args[2:])
	if err != nil {
		return err
	}
	defer closeWorker()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.run(ctx); close(done) }()
	fmt.Println("running")
	for in := bufio.NewScanner(os.Stdin); in.Scan() && !strings.HasPrefix(in.Text(), "end"); {
		w.hurry <- struct{}{}
	}
	cancel()
	<-done
	return json.NewEncoder(os.Stdout).Encode(report{append(w.ops[0], w.ops[1]...), w.local})
}
