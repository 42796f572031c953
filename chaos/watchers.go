package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// watcher follows one scope through one client: with one watch from the beginning to the end, or
// with one short watch after the other.
type watcher struct {
	id, client int
	cli        *clientv3.Client
	clock      history.Clock
	rec        *recorder
	rnd        *rand.Rand
	scope      string
	short      bool          // many short watches
	now        bool          // from now on, not from the beginning
	slow       time.Duration // how long it pauses now and then
	// reached is the revision of the last event delivered; finish waits for it.
	reached atomic.Int64

	watches []history.Watch
}

// slowEvery is the number of responses after which a slow watcher pauses: often enough to fall
// behind for a while, rarely enough to catch up.
const slowEvery = 100

// maxWatches bounds how many watches one watcher opens.
const maxWatches = 10_000

// run watches until ctx ends. At that time last says whether the cluster was whole, so that the
// watch has to have delivered everything.
func (w *watcher) run(ctx context.Context, last *atomic.Bool) {
	start := int64(1)
	if w.short || w.now {
		start = 0
	}
	for range maxWatches {
		if ctx.Err() != nil {
			return
		}
		h := w.watch(ctx, start)
		h.Last = !w.short && last.Load() && h.Cancelled != 0 && ctx.Err() != nil
		w.watches = append(w.watches, h)
		compact := int64(0)
		if n := len(h.Steps); n > 0 {
			compact = h.Steps[n-1].CompactRev
		}
		switch {
		case compact > 0:
			start = compact
		case h.Lost():
			w.reached.Store(0) // read all of the restored history
			start = 1
			if w.short || w.now {
				start = 0
			}
		case w.short:
			start = w.choose(h)
		case len(h.Steps) > 0 && h.Steps[len(h.Steps)-1].Err != "": // judged later; go on for what else may be seen
			start = max(start, w.reached.Load()+1)
			pause(ctx, 100*time.Millisecond)
		}
	}
}

// choose returns where the next short watch begins: now, where the last one ended, or far back.
func (w *watcher) choose(h history.Watch) int64 {
	switch w.rnd.IntN(4) {
	case 0:
		return 0
	case 1:
		return max(1, w.rec.reached()-int64(w.rnd.IntN(500)))
	}
	return max(1, w.reached.Load()+1)
}

// watch opens one watch and takes what it delivers until it ends.
func (w *watcher) watch(ctx context.Context, start int64) history.Watch {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var life <-chan time.Time
	if w.short {
		t := time.NewTimer(500*time.Millisecond + time.Duration(w.rnd.Int64N(int64(8*time.Second))))
		defer t.Stop()
		life = t.C
	}
	h := history.Watch{
		ID:     w.id*10_000 + len(w.watches),
		Client: w.client,
		Scope:  w.scope,
		Start:  start,
		Slow:   w.slow > 0,
	}
	opts := []clientv3.OpOption{clientv3.WithPrevKV()}
	if start > 0 {
		opts = append(opts, clientv3.WithRev(start))
	} else {
		opts = append(opts, clientv3.WithCreatedNotify())
	}
	if w.scope[len(w.scope)-1] == '/' {
		opts = append(opts, clientv3.WithPrefix())
	}
	if h.Fragments = w.rnd.IntN(3) == 0; h.Fragments {
		opts = append(opts, clientv3.WithFragment())
	}
	h.Call = w.clock.Now()
	ch := make(chan clientv3.WatchChan, 1)
	go func() { ch <- w.cli.Watch(ctx, w.scope, opts...) }() // Watch waits for the server
	var responses clientv3.WatchChan
	for {
		select {
		case responses = <-ch:
			h.Return = w.clock.Now()
			ch = nil
		case <-life:
			h.Cancelled = w.clock.Now()
			cancel()
			life = nil
		case <-ctx.Done():
			if h.Cancelled == 0 {
				h.Cancelled = w.clock.Now()
			}
			if responses == nil {
				responses = <-ch
			}
			for r := range responses { // responses that were on their way; the channel is closed by now
				w.take(&h, r)
			}
			return h
		case r, ok := <-responses:
			if !ok {
				return h
			}
			w.take(&h, r)
			if w.slow > 0 && len(h.Steps)%slowEvery == 0 {
				pause(ctx, w.slow)
			}
		}
	}
}

// take records one response.
func (w *watcher) take(h *history.Watch, r clientv3.WatchResponse) {
	s := history.Step{At: w.clock.Now(), Created: r.Created, Progress: r.IsProgressNotify()}
	if r.Header != nil {
		s.Rev = r.Header.Revision
	}
	if err := r.Err(); err != nil {
		s.Err = err.Error()
		s.Lost = errors.Is(err, clientv3.ErrHistoryLost)
		if errors.Is(err, rpctypes.ErrCompacted) {
			s.CompactRev = r.CompactRevision
		}
	}
	for _, e := range r.Events {
		we := history.WatchEvent{Event: history.Event{
			Key: string(e.Kv.Key), Value: string(e.Kv.Value), Rev: e.Kv.ModRevision, Lease: e.Kv.Lease,
			Delete: e.Type == clientv3.EventTypeDelete, Seen: s.At,
		}}
		if e.PrevKv != nil {
			we.Prev = &history.KV{
				Key:    string(e.PrevKv.Key),
				Value:  string(e.PrevKv.Value),
				ModRev: e.PrevKv.ModRevision,
			}
		}
		s.Events = append(s.Events, we)
		w.reached.Store(e.Kv.ModRevision)
	}
	if len(s.Events) > 0 || s.Created || s.Progress || s.Err != "" {
		h.Steps = append(h.Steps, s)
	}
}
