package console

import (
	"context"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
)

const (
	// batchMost changes go out at a time; of more, the latest, and the count of all.
	batchMost = 100
	// batchValue bytes of a value are sent along.
	batchValue = 2 << 10
	// noticeMost keys go out with a notice.
	noticeMost = 50
	// again is the pause before a watch that ended is begun anew, which doubles up to againMost:
	// one that may not be is asked for seldom.
	again     = time.Second
	againMost = 16 * time.Second
)

// change is one event of a watch.
type change struct {
	Type    string `json:"type"` // put or delete
	Key     []byte `json:"key"`
	Value   []byte `json:"value,omitempty"` // its beginning
	Size    int    `json:"size"`
	Mod     int64  `json:"mod"`
	Created bool   `json:"created,omitempty"`
	Version int64  `json:"version,omitempty"`
	Lease   string `json:"lease,omitempty"`
	At      int64  `json:"at,omitempty"`     // when it arrived here, in milliseconds since 1970
	Before  []byte `json:"before,omitempty"` // the beginning of the value before, if there was one
	Was     int    `json:"was,omitempty"`    // its size
}

// batch is what has changed since the last one.
type batch struct {
	Prefix   []byte   `json:"prefix"`
	Revision int64    `json:"revision"`
	Count    int64    `json:"count"`   // all changes
	Dropped  int64    `json:"dropped"` // how many of them are not among Changes
	Changes  []change `json:"changes"`
	// Gap: history was compacted before it was seen, so changes are missing that were not counted
	// either.
	Gap   bool   `json:"gap,omitempty"`
	Error string `json:"error,omitempty"` // why there is no watch at present
	Live  bool   `json:"live,omitempty"`  // the watch has begun
}

// gatherer collects the changes under a prefix for a stream. Its goroutine adds to the batch, the
// stream's takes it.
type gatherer struct {
	kind   string
	prefix string
	every  time.Duration
	user   bool  // it is a user who follows: their rights may be taken away
	next   int64 // the revision to watch from; 0 for now. Its goroutine's own.

	mu   sync.Mutex // guards what follows
	b    *batch
	ring int // where the oldest of b.Changes is, once it is full
	sent time.Time
}

// run gathers until ctx ends.
func (g *gatherer) run(ctx context.Context, client *clientv3.Client) {
	pause := again
	for ctx.Err() == nil {
		if g.watch(ctx, client) {
			pause = again
		}
		_ = backoff.Sleep(ctx, pause)
		pause = min(2*pause, againMost)
	}
}

// watch gathers until the watch ends or may not be made any more, and reports whether it had begun
// and is to be begun anew soon.
func (g *gatherer) watch(ctx context.Context, client *clientv3.Client) (began bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opts := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithCreatedNotify()}
	if g.kind == "watch" {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if g.next > 0 {
		opts = append(opts, clientv3.WithRev(g.next))
	}
	var still <-chan time.Time
	if g.user {
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		still = tick.C
	}
	changes := client.Watch(ctx, g.prefix, opts...)
	for {
		var resp clientv3.WatchResponse
		select {
		case r, ok := <-changes:
			if !ok {
				return began
			}
			resp = r
		case <-still:
			if err := mayRead(ctx, client, g.prefix); err != nil {
				g.with(func(b *batch) { b.Error = err.Error() })
				return false
			}
			continue
		}
		if err := resp.Err(); err != nil {
			if ctx.Err() != nil {
				return began
			}
			g.with(func(b *batch) {
				if resp.CompactRevision > 0 {
					b.Gap = true
					g.next = resp.CompactRevision
				} else {
					b.Error = err.Error()
				}
			})
			return began || resp.CompactRevision > 0
		}
		if resp.Created {
			began = true
			g.with(func(b *batch) { b.Live = true })
		}
		if g.next == 0 && resp.Header.Revision > 0 {
			g.next = resp.Header.Revision + 1
		}
		if reached := follow.Reached(&resp); reached > 0 {
			g.next = reached + 1
		}
		if len(resp.Events) > 0 {
			g.with(func(b *batch) {
				for _, ev := range resp.Events {
					g.add(b, ev)
				}
			})
		}
	}
}

// with lets f work on the batch.
func (g *gatherer) with(f func(*batch)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.b == nil {
		g.b, g.ring = &batch{Prefix: []byte(g.prefix), Changes: []change{}}, 0
	}
	f(g.b)
}

// add puts an event into the batch, in place of the oldest if there are too many. The caller holds
// mu.
func (g *gatherer) add(b *batch, ev *clientv3.Event) {
	c := change{
		Type:    "put",
		Key:     ev.Kv.Key,
		Size:    len(ev.Kv.Value),
		Mod:     ev.Kv.ModRevision,
		Created: ev.IsCreate(),
		Version: ev.Kv.Version,
		Lease:   leaseName(ev.Kv.Lease),
	}
	most := noticeMost
	if g.kind == "watch" {
		most = batchMost
		// A copy: the batch must not keep the whole message that the value came in.
		c.Value = append([]byte(nil), ev.Kv.Value[:min(batchValue, len(ev.Kv.Value))]...)
		c.At = time.Now().UnixMilli()
		if ev.PrevKv != nil {
			c.Before, c.Was = append(
				[]byte(nil),
				ev.PrevKv.Value[:min(batchValue, len(ev.PrevKv.Value))]...), len(
				ev.PrevKv.Value,
			)
		}
	}
	c.Key = append([]byte(nil), ev.Kv.Key...)
	if ev.Type == clientv3.EventTypeDelete {
		c.Type, c.Created = "delete", false
	}
	b.Count++
	b.Revision = max(b.Revision, c.Mod)
	if len(b.Changes) < most {
		b.Changes = append(b.Changes, c)
		return
	}
	b.Changes[g.ring] = c
	g.ring = (g.ring + 1) % most
	b.Dropped++
}

// take is the batch, if there is one and its time has come.
func (g *gatherer) take(now time.Time) *batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.b == nil || now.Sub(g.sent) < g.every {
		return nil
	}
	b := g.b
	b.Changes = append(b.Changes[g.ring:len(b.Changes):len(b.Changes)], b.Changes[:g.ring]...)
	g.b, g.sent = nil, now
	return b
}
