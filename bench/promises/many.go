package main

// Rows 14 to 16: many watches, their cost, and a cluster that was restored.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	official "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func manyWatches(ctx context.Context, t *trial) error {
	if err := resume(ctx, t); err != nil {
		return err
	}
	return idleCost(ctx, t)
}

// resume breaks the connection of 1000 watches, over a link of 10 ms there and back, and measures
// the time until each watch has delivered what happened meanwhile.
func resume(ctx context.Context, t *trial) error {
	const n = 1000
	o, err := t.one(ours.Hooks{})
	if err != nil {
		return err
	}
	theirs, err := t.official(official.Config{Endpoints: []string{o.m.Endpoint}})
	if err != nil {
		return err
	}
	key := func(i int) string { return fmt.Sprint("many/", i) }
	chans := make([]ours.WatchChan, n)
	theirChans := make([]official.WatchChan, n)
	err = each(n, func(i int) error {
		chans[i] = o.c.Watch(ctx, key(i))
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	measure := func(wait func(i int) error) (time.Duration, error) {
		// Hold events back until the connection is broken, so that each comes after a resume.
		o.m.Proxy().BlackHole()
		for i := range n {
			if _, err := o.direct.Put(ctx, key(i), "v"); err != nil {
				return 0, err
			}
		}
		o.m.Proxy().Reset()
		began := time.Now()
		if err := o.m.Proxy().Heal(); err != nil {
			return 0, err
		}
		o.m.Proxy().Delay(5 * time.Millisecond)
		for i := range n {
			if err := wait(i); err != nil {
				return 0, fmt.Errorf("watch %d: %w", i, err)
			}
		}
		took := time.Since(began)
		o.m.Proxy().Delay(0)
		return took, nil
	}
	mine, err := measure(func(i int) error {
		r, ok, err := receive(ctx, chans[i], patience)
		if err == nil && (!ok || len(r.Events) != 1) {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := o.c.Close(); err != nil {
		return err
	}
	for i := range n { // it opens them one by one
		theirChans[i] = theirs.Watch(ctx, key(i))
	}
	their, err := measure(func(i int) error {
		_, _, err := receive(ctx, theirChans[i], patience)
		return err
	})
	if err != nil {
		return err
	}
	t.under("%d watches over a link of 10 ms, connection reset", n)
	t.promise("all had their events after", "s", 0.5, mine.Seconds()).seen("10.9 s").here(their.Seconds())
	return nil
}

// idleCost opens many watches and measures memory and goroutines.
func idleCost(ctx context.Context, t *trial) error {
	const n = 10000
	cl, err := t.cluster(etcdtest.Options{})
	if err != nil {
		return err
	}
	type cost struct{ bytes, goroutines, seconds float64 }
	measure := func(open func(i int) any) cost {
		kept := make([]any, n)
		bytes, before, began := heap()+stacks(), runtime.NumGoroutine(), time.Now()
		const workers = 64
		_ = each(workers, func(w int) error {
			for i := w; i < n; i += workers {
				kept[i] = open(i)
			}
			return nil
		})
		took := time.Since(began)
		load.Wait(ctx, time.Second) // goroutines that only opened watches have ended
		c := cost{(heap() + stacks() - bytes) / n, float64(runtime.NumGoroutine()-before) / n, took.Seconds()}
		runtime.KeepAlive(kept)
		return c
	}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := t.ours(ours.Config{Endpoints: cl.Endpoints()})
	if err != nil {
		return err
	}
	theirs, err := t.official(official.Config{Endpoints: cl.Endpoints()})
	if err != nil {
		return err
	}
	<-c.Watch(wctx, "first", ours.WithCreatedNotify()) // what a client needs only once
	<-theirs.Watch(wctx, "first", official.WithCreatedNotify())
	mine := measure(func(i int) any { return c.Watch(wctx, fmt.Sprintf("idle/%06d", i)) })
	their := measure(func(i int) any { return theirs.Watch(wctx, fmt.Sprintf("idle/%06d", i)) })
	t.under("%d idle watches of single keys", n)
	t.promise("memory of each", "bytes", 1024, mine.bytes).seen("3900 bytes").here(their.bytes)
	t.promise("goroutines of each", "", 0.01, mine.goroutines).seen("1").here(their.goroutines)
	t.show("time to open all, 64 at once", "s", mine.seconds).seen("1.1 s").here(their.seconds)
	return nil
}

func stacks() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.StackInuse)
}

func streamSharing(ctx context.Context, t *trial) error {
	const n = 50
	cl, err := t.cluster(etcdtest.Options{})
	if err != nil {
		return err
	}
	var mine, their wires
	c, err := t.ours(ours.Config{Endpoints: cl.Endpoints(), DialOptions: []grpc.DialOption{mine.option()}})
	if err != nil {
		return err
	}
	theirs, err := t.official(
		official.Config{Endpoints: cl.Endpoints(), DialOptions: []grpc.DialOption{their.option()}},
	)
	if err != nil {
		return err
	}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range n {
		traced := metadata.AppendToOutgoingContext(wctx, "trace-id", fmt.Sprint(i))
		<-c.Watch(traced, "k", ours.WithCreatedNotify())
		<-theirs.Watch(traced, "k", official.WithCreatedNotify())
	}
	t.under("%d watches, each with a trace id of its own in the metadata", n)
	t.promise("streams", "", 1, float64(mine.of(pb.Watch_Watch_FullMethodName))).
		seen("one each").
		here(float64(their.of(pb.Watch_Watch_FullMethodName)))
	return nil
}

func restoredBackup(ctx context.Context, t *trial) error {
	o, err := t.one(ours.Hooks{})
	if err != nil {
		return err
	}
	restart := func() error { return errors.Join(o.m.Restart(), o.m.WaitReady(ctx)) }
	if _, err := o.c.Put(ctx, "k/old", "1"); err != nil {
		return err
	}
	o.m.Terminate()
	backup, err := os.MkdirTemp("", "fairlead-promises-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(backup)
	if err := errors.Join(os.CopyFS(backup, os.DirFS(o.m.DataDir)), restart()); err != nil {
		return err
	}
	w := ours.NewResumingWatcher(o.c, o.c)
	defer w.Close()
	plain := o.c.Watch(ctx, "k/", ours.WithPrefix())
	resuming := w.Watch(ctx, "k/", ours.WithPrefix())
	have := picture{"k/old": "1"}
	const later = 20
	for i := range later {
		if _, err := o.c.Put(ctx, fmt.Sprint("k/", i), "v"); err != nil {
			return err
		}
	}
	for seen := 0; seen < later; {
		r, ok, err := receive(ctx, plain, patience)
		if err != nil || !ok {
			return fmt.Errorf("before the restore: %v", err)
		}
		seen += len(r.Events)
	}
	for len(have) < later+1 {
		r, ok, err := receive(ctx, resuming, patience)
		if err != nil || !ok {
			return fmt.Errorf("before the restore: %v", err)
		}
		have.apply(r)
	}
	o.m.Kill()
	if err := errors.Join(os.RemoveAll(o.m.DataDir), os.CopyFS(o.m.DataDir, os.DirFS(backup)), restart()); err != nil {
		return err
	}
	back := time.Now()
	hidden := 1
	if r, _, err := receive(ctx, plain, patience); err == nil && errors.Is(r.Err(), ours.ErrHistoryLost) {
		hidden = 0
	}
	if r, _, err := receive(ctx, resuming, patience); err == nil && r.Synthesized {
		have.apply(r)
	}
	took := time.Since(back)
	now, err := o.direct.Get(ctx, "k/", ours.WithPrefix())
	if err != nil {
		return err
	}
	t.under("a member set back to a backup, %d changes older", later)
	t.promise("ordinary watches that do not end with ErrHistoryLost", "", 0, float64(hidden))
	t.promise("keys that the consumer of a resuming watch has otherwise", "", 0, float64(have.wrong(now)))
	t.show("both know after", "s", took.Seconds())
	return nil
}
