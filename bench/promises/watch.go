package main

// Rows 11 and 12: watches that are cancelled, and watches that nobody reads.

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	official "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
)

func watchStorm(ctx context.Context, t *trial) error {
	o, err := t.one(ours.Hooks{})
	if err != nil {
		return err
	}
	const length, stormers = 3 * time.Second, 16
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	steady := o.c.Watch(wctx, "steady", ours.WithProgressNotify())
	sctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var cancelled, stuck, asked, written atomic.Int64
	var wg sync.WaitGroup
	for i := range stormers {
		wg.Go(func() {
			for n := 0; sctx.Err() == nil; n++ {
				one, end := context.WithCancel(ctx)
				ch := o.c.Watch(one, fmt.Sprint("storm/", i), ours.WithProgressNotify())
				if n%2 == 0 && o.c.RequestProgress(one) == nil {
					asked.Add(1)
				}
				end()
				for { // read to its end
					_, ok, err := receive(ctx, ch, patience)
					if err != nil {
						stuck.Add(1)
						break
					}
					if !ok {
						cancelled.Add(1)
						break
					}
				}
			}
		})
	}
	wg.Go(func() {
		for ; sctx.Err() == nil; load.Wait(sctx, 100*time.Millisecond) {
			o.m.Proxy().Reset()
		}
	})
	wg.Go(func() {
		for sctx.Err() == nil {
			if _, err := o.direct.Put(ctx, "steady", fmt.Sprint(written.Load())); err != nil {
				return
			}
			written.Add(1)
			load.Wait(sctx, 5*time.Millisecond)
		}
	})
	wg.Wait()
	wrong := 0
	for want := int64(0); want < written.Load(); {
		r, ok, err := receive(ctx, steady, patience)
		if err != nil || !ok {
			wrong += int(written.Load() - want)
			break
		}
		for _, e := range r.Events {
			if string(e.Kv.Value) != fmt.Sprint(want) {
				wrong++
			}
			want++
		}
	}
	t.under("%d goroutines open, ask progress of and cancel watches for %v, reset every 100 ms", stormers, length)
	t.show("watches cancelled", "", float64(cancelled.Load()))
	t.show("requests for progress", "", float64(asked.Load()))
	t.promise("panics", "", 0, 0).seen("the process") // a panic would have ended this program
	t.promise("watches that did not end", "", 0, float64(stuck.Load()))
	t.promise("events lost or repeated meanwhile on another watch", "", 0, float64(wrong))
	return nil
}

// heap returns the heap in use after a collection.
func heap() float64 {
	runtime.GC()
	runtime.GC() // frees what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

const mib = 1 << 20

func unreadEvents(ctx context.Context, t *trial) error {
	const events, size = 2000, 100 << 10
	o, err := t.one(ours.Hooks{})
	if err != nil {
		return err
	}
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	unread := o.c.Watch(wctx, "big/", ours.WithPrefix())
	sibling := o.c.Watch(wctx, "small")
	base := heap()
	var first int64
	value := strings.Repeat("x", size)
	var late time.Duration
	for i := range events {
		r, err := o.direct.Put(ctx, fmt.Sprint("big/", i%10), value)
		if err != nil {
			return err
		}
		if first == 0 {
			first = r.Header.Revision
		}
		if i%50 != 0 {
			continue
		}
		began := time.Now()
		if _, err := o.direct.Put(ctx, "small", "v"); err != nil {
			return err
		}
		if _, ok, err := receive(ctx, sibling, patience); err != nil || !ok {
			return fmt.Errorf("a watch beside the unread one: %v", err)
		}
		late = max(late, time.Since(began))
	}
	load.Wait(ctx, time.Second) // the rest arrives
	held := heap() - base
	read, rev, repeated := 0, int64(0), 0
	for read < events {
		r, ok, err := receive(ctx, unread, patience)
		if err != nil || !ok {
			break
		}
		for _, e := range r.Events {
			if e.Kv.ModRevision <= rev {
				repeated++
			}
			rev = e.Kv.ModRevision
			read++
		}
	}
	stop()

	theirs, err := t.official(official.Config{Endpoints: []string{o.m.Endpoint}})
	if err != nil {
		return err
	}
	base = heap()
	ch := theirs.Watch(ctx, "big/", official.WithPrefix(), official.WithRev(first))
	load.Wait(ctx, 4*time.Second)
	theirHeld := heap() - base
	runtime.KeepAlive(ch)

	t.under("%d unread events of %d KiB", events, size>>10)
	// 64 MiB of events (Config.WatchBufferLimit), and the part of one response that exceeds it.
	t.promise("heap that they hold", "MiB", 72, held/mib).seen("205 MiB").here(theirHeld / mib)
	t.promise("events lost or repeated when read in the end", "", 0, float64(events-read+repeated))
	t.show("slowest event of a watch beside it, from before its put", "ms", ms(late))
	return nil
}
