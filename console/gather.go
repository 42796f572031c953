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
	// batchMost is how many changes a batch has; of more, it has the latest, and the count of all.
	batchMost = 100
	// batchValue is how many bytes of a value are sent along.
	batchValue = 2 << 10
	// noticeMost is how many keys a notice has.
	noticeMost = 50
	// again is the pause before an ended watch is started again. It doubles up to againMost, so
	// that a watch that is not permitted is rarely tried.
	again     = time.Second
	againMost = 16 * time.Second
)

// change is one event of a watch.
type change struct {
	Type    string `json:"type"` // put or delete
	Key     []byte `json:"key"`
	Value   []byte `json:"value,omitempty"` // its first bytes
	Size    int    `json:"size"`
	Mod     int64  `json:"mod"`
	Created bool   `json:"created,omitempty"`
	Version int64  `json:"version,omitempty"`
	Lease   string `json:"lease,omitempty"`
	At      int64  `json:"at,omitempty"`     // when it arrived here, in milliseconds since 1970
	Before  []byte `json:"before,omitempty"` // the beginning of the value before, if there was one
	Was     int    `json:"was,omitempty"`    // its size
}

// batch is the changes since the one before.
type batch struct {
	Prefix   []byte   `json:"prefix"`
	Revision int64    `json:"revision"`
	Count    int64    `json:"count"`   // all changes
	Dropped  int64    `json:"dropped"` // how many of them are not in Changes
	Changes  []change `json:"changes"`
	// Gap: history was compacted before the watch read it, so changes are missing, which Count does
	// not include either.
	Gap   bool   `json:"gap,omitempty"`
	Error string `json:"error,omitempty"` // the reason why there is no watch at present
	Live  bool   `json:"live,omitempty"`  // the watch has begun
}

// gatherer collects the changes under a prefix for a stream. Its goroutine adds to the batch, the
// stream's goroutine takes it.
type gatherer struct {
	kind   string
	prefix string
	every  time.Duration
	user   bool  // a signed-in user follows: their permissions may be revoked
	next   int64 // the revision to watch from; 0 for now. Only its goroutine uses it.

	mu   sync.Mutex // guards what follows
	b    *batch
	ring int // the index of the oldest change in b.Changes, once that is full
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

// watch gathers until the watch ends or is not permitted any more, and reports whether to start it
// again without a longer pause.
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

// with calls f with the batch.
func (g *gatherer) with(f func(*batch)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.b == nil {
		g.b, g.ring = &batch{Prefix: []byte(g.prefix), Changes: []change{}}, 0
	}
	f(g.b)
}

// add adds an event to the batch, in place of the oldest if there are too many. The caller holds
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
		// A copy, so that the batch does not keep the whole message with the value.
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

// take returns the batch, if there is one and its time has come.
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
