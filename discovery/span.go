package discovery

// Watching the own keys. One watch covers the range from the lowest to the highest of them:
// for a process with one instance, one key; for one with thousands of a service, their
// prefix. It is made anew when the range grows.

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// cover makes the range include a key; the caller holds mu.
func (r *Registrar) cover(key string) {
	low, high := r.low, r.high
	if low == "" || key < low {
		r.low = key
	}
	if key > high {
		r.high = key
	}
	if low != r.low || high != r.high {
		close(r.wider)
		r.wider = make(chan struct{})
	}
}

// uncover leaves out a key that could not be registered: the watch over all would not be allowed
// either, if the user may not read it. The caller holds mu.
func (r *Registrar) uncover(key string) {
	if key != r.low && key != r.high {
		return
	}
	r.low, r.high = "", ""
	for k := range r.regs {
		if r.low == "" || k < r.low {
			r.low = k
		}
		r.high = max(r.high, k)
	}
	if r.low != "" {
		close(r.wider)
		r.wider = make(chan struct{})
	}
}

// watch makes dirty what others changed at rev or later, until ctx ends.
func (r *Registrar) watch(ctx context.Context, rev int64) {
	for ctx.Err() == nil {
		next, ok := r.watchRange(ctx, rev)
		if rev = next; !ok {
			_ = backoff.Sleep(ctx, retry.Base) // it ended by itself: compacted, say
		}
	}
}

// watchRange watches the present range from rev on, 0 for now, until it grows. It returns
// where to go on, and false if the watch ended by itself.
func (r *Registrar) watchRange(ctx context.Context, rev int64) (next int64, ok bool) {
	r.mu.Lock()
	low, high, wider := r.low, r.high, r.wider
	r.mu.Unlock()
	opts := []clientv3.OpOption{clientv3.WithRange(high + "\x00"), clientv3.WithCreatedNotify()}
	if rev > 0 {
		opts = append(opts, clientv3.WithRev(rev))
	}
	w := follow.Open(ctx, r.client, low, opts...)
	defer w.Close()
	var changes clientv3.WatchChan
	for {
		select {
		case changes = <-w.Opened:
		case resp, open := <-changes:
			if !open || resp.Err() != nil {
				return 0, ctx.Err() != nil
			}
			if resp.Created && rev == 0 {
				r.suspectAll() // what happened before is not known
			}
			for _, ev := range resp.Events {
				r.changed(ev)
			}
			rev = resp.Header.Revision + 1
		case <-wider:
			return rev, true
		case <-ctx.Done():
			return rev, true
		}
	}
}

// changed takes an event of a key in the range, which may be nobody's here.
func (r *Registrar) changed(ev *clientv3.Event) {
	r.mu.Lock()
	g := r.regs[string(ev.Kv.Key)]
	ghost := g == nil && ev.Type == clientv3.EventTypePut && r.lease != 0 && ev.Kv.Lease == int64(r.lease)
	if g == nil || g.busy || ev.Kv.ModRevision <= g.mod {
		if g != nil {
			g.seen = max(g.seen, ev.Kv.ModRevision) // what settles it looks whether that is its own
		}
		r.mu.Unlock()
		if ghost {
			r.exorcise(ev)
		}
		return
	}
	// Under our lease it is an operator's doing, which settling looks at.
	gone := ev.Type == clientv3.EventTypeDelete || ev.Kv.Lease != int64(r.lease)
	lost := gone && g.there && !g.gone && !g.hidden
	g.there = g.there && !gone
	if ev.Type == clientv3.EventTypeDelete {
		g.mod = 0
	}
	r.enqueue(g)
	in := g.in
	r.mu.Unlock()
	if lost {
		r.tell(Lost, in, errChanged)
	}
}

// exorcise deletes a record of ours that a request without an answer put after the
// registration was closed.
func (r *Registrar) exorcise(ev *clientv3.Event) {
	key := string(ev.Kv.Key)
	r.group.Go(func(ctx context.Context) {
		for n := 0; ctx.Err() == nil; n++ {
			tctx, cancel := context.WithTimeout(ctx, writeTry)
			_, err := r.client.Txn(tctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", ev.Kv.ModRevision)).Then(clientv3.OpDelete(key)).Commit()
			cancel()
			if err == nil || backoff.Sleep(ctx, retry.Wait(n)) != nil {
				return
			}
		}
	})
}

// suspectAll looks at every record again.
func (r *Registrar) suspectAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.regs {
		g.verify = true
		r.enqueue(g)
	}
}
