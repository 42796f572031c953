package cache

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// upstream continues a watch that has fallen behind the history with one in etcd, until it has
// caught up with the history or ends. The watch's pump calls it.
func (h *hub) upstream(w *local) {
	h.mu.Lock()
	rev, epoch := w.next, h.epoch
	same := w.epoch == epoch
	from := h.hist.from
	h.mu.Unlock()
	if !same {
		// The revisions have begun anew meanwhile: the missed events are unknown.
		h.last(w, clientv3.WatchResponse{Canceled: true, CompactRevision: from})
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	for r := range h.f.c.remote.Watch(ctx, w.span.start, w.options(rev)...) {
		if r.Err() != nil {
			h.last(w, r)
			return
		}
		select {
		case w.ch <- r:
		case <-w.ctx.Done():
			h.end(w)
			return
		}
		for _, e := range r.Events {
			rev = max(rev, e.Kv.ModRevision+1)
		}
		h.mu.Lock()
		w.next = rev
		seq, ok := h.hist.find(rev)
		if ok = ok && h.epoch == epoch; ok {
			w.seq, w.since, w.begun = seq, rev, epoch
		}
		h.mu.Unlock()
		if ok {
			return
		}
	}
	h.end(w)
}

// last delivers the last response of a watch and ends it.
func (h *hub) last(w *local, r clientv3.WatchResponse) {
	select {
	case w.ch <- r:
	case <-w.ctx.Done():
	}
	h.end(w)
}
