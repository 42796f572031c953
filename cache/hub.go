package cache

// A hub hands one prefix's changes to the watches on the copy.
//
// A watch that keeps up costs no goroutine: the feed's goroutine puts each response into its
// channel. When the channel is full, the watch gets a goroutine (a pump), which reads the history
// from the watch's place on and ends when it has caught up. So the events that wait for slow
// consumers are held once for all of them, and bounded. A watch that falls behind the history goes
// on with a watch of its own in etcd (upstream.go) until the history has its place again.
//
// hub.mu guards everything here; nothing blocks under it. While a watch is pumping, only the
// pump sends to its channel and closes it.

import (
	"context"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// progressEvery is the shortest time between two unrequested progress notifications of a watch with
// WithProgressNotify. The gate may learn of progress thousands of times a second.
const progressEvery = time.Second

type hub struct {
	f *feed

	mu       sync.Mutex
	hist     history
	epoch    int   // of the versions
	base     int64 // the first revision after the latest listing
	closed   bool
	keys     map[string]map[*local]struct{} // watches on one key
	ranges   map[*local]struct{}
	follow   map[chan struct{}]struct{} // views, which are poked
	asked    bool                       // a caller waits for progress
	notified time.Time                  // when progress was last notified
	at       *version                   // the latest that was delivered; nil before the first
}

func newHub(f *feed) *hub {
	return &hub{
		f: f, hist: history{maxEvents: f.c.historyEvents, maxBytes: f.c.historyBytes},
		keys: make(
			map[string]map[*local]struct{},
		), ranges: make(map[*local]struct{}), follow: make(map[chan struct{}]struct{}),
	}
}

// deliver takes a batch that v contains.
func (h *hub) deliver(b *batch, v *version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.spread(b, v)
	}
}

// spread is deliver for a caller that holds h.mu.
func (h *hub) spread(b *batch, v *version) {
	b.header, b.epoch = headerAt(v.header, b.rev), v.epoch
	h.at = v
	h.hist.push(b)
	if len(h.keys) > 0 {
		for _, e := range b.plain {
			for w := range h.keys[string(e.Kv.Key)] {
				h.offer(w, b)
			}
		}
	}
	for w := range h.ranges {
		h.offer(w, b)
	}
	h.poke()
}

// replaced takes the difference that a listing made, nil if there is none.
func (h *hub) replaced(b *batch, v *version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if b != nil {
		h.spread(b, v)
	}
	h.epoch, h.base, h.at = v.epoch, v.rev+1, v
	h.hist.restart(v.rev)
	h.poke()
}

func (h *hub) poke() {
	for c := range h.follow {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// offer gives w a batch that is the latest of the history.
func (h *hub) offer(w *local, b *batch) {
	n := h.hist.next() - 1
	if w.pumping || w.seq > n {
		return // the pump comes to it, or it was offered for another of its keys
	}
	if resp, any := w.view(b); any {
		select {
		case w.ch <- resp:
		default:
			// The pump begins at w.seq; batches that did not concern a watch on one key were not
			// offered to it.
			w.seq = n
			if !b.synthesized && w.epoch != b.epoch {
				w.next, w.epoch = h.base, b.epoch
			}
			h.pump(w)
			return
		}
	}
	w.seq, w.next, w.epoch = n+1, b.rev+1, b.epoch
}

// pump starts w's pump.
func (h *hub) pump(w *local) {
	w.pumping = h.f.c.group.Go(func(context.Context) { h.run(w) })
}

// run is the pump of w.
func (h *hub) run(w *local) {
	for {
		h.mu.Lock()
		if w.ended {
			h.mu.Unlock()
			close(w.ch)
			return
		}
		b, lost := h.hist.at(w.seq)
		if b == nil && !lost {
			w.pumping = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		if lost {
			h.upstream(w)
			continue
		}
		if resp, any := w.view(b); any {
			select {
			case w.ch <- resp:
			case <-w.ctx.Done():
				h.end(w)
				continue
			}
		}
		h.mu.Lock()
		w.seq++
		w.next, w.epoch = b.rev+1, b.epoch
		h.mu.Unlock()
	}
}

// add registers a watch that starts with the events of revision rev; 0 means the first that the
// copy does not have yet. It returns false if history does not go back so far, or the hub is
// closed.
func (h *hub) add(w *local, rev int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.f.now.Load()
	if h.closed || v == nil || v.epoch != h.epoch {
		return false
	}
	if rev == 0 {
		rev = v.rev + 1
	}
	seq, ok := h.hist.find(rev)
	if !ok {
		return false
	}
	w.seq, w.next, w.epoch = seq, rev, h.epoch
	w.since, w.begun = rev, h.epoch
	if key, one := w.span.one(); one {
		if h.keys[key] == nil {
			h.keys[key] = make(map[*local]struct{})
		}
		h.keys[key][w] = struct{}{}
	} else {
		h.ranges[w] = struct{}{}
	}
	if w.created {
		w.ch <- clientv3.WatchResponse{Header: v.header, Created: true}
	}
	if seq < h.hist.next() {
		h.pump(w)
	}
	w.stop = context.AfterFunc(w.ctx, func() { h.end(w) })
	return true
}

// end ends w without a further response. Its channel is closed here, or by its pump.
func (h *hub) end(w *local) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endLocked(w)
}

func (h *hub) endLocked(w *local) {
	if w.ended {
		return
	}
	w.ended = true
	if key, one := w.span.one(); one {
		if delete(h.keys[key], w); len(h.keys[key]) == 0 {
			delete(h.keys, key)
		}
	} else {
		delete(h.ranges, w)
	}
	w.stop() // nothing more to do when the context ends
	w.cancel()
	if !w.pumping {
		close(w.ch)
	}
}

// progress notifies watches of v's revision: all of them if the caller of ask waits, else those
// with WithProgressNotify.
func (h *hub) progress(v *version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil || v.rev > h.at.rev {
		h.at = v
		h.poke()
	}
	unasked := time.Since(h.notified) >= progressEvery
	if !h.asked && !unasked {
		return
	}
	resp := clientv3.WatchResponse{Header: v.header}
	notify := func(w *local) {
		if w.pumping || !(h.asked || w.progress) {
			return
		}
		select {
		case w.ch <- resp:
		default: // it has responses to read, which say more
		}
	}
	for _, ws := range h.keys {
		for w := range ws {
			notify(w)
		}
	}
	for w := range h.ranges {
		notify(w)
	}
	h.asked, h.notified = false, time.Now()
}

// ask makes the next progress notification go to all watches.
func (h *hub) ask() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = true
}

// close ends all watches. Pumps end with the cache's group.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, ws := range h.keys {
		for w := range ws {
			h.endLocked(w)
		}
	}
	for w := range h.ranges {
		h.endLocked(w)
	}
	h.poke()
}

// listen makes the hub poke c at each change; false if the hub is closed.
func (h *hub) listen(c chan struct{}) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.follow[c] = struct{}{}
	}
	return !h.closed
}

func (h *hub) leave(c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.follow, c)
}

// since returns the batches from number *seq on, and moves *seq past them; lost if some of them
// were dropped. at is a version that has nothing beyond them, nil if there is none at hand.
func (h *hub) since(seq *uint64) (list []*batch, at *version, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, lost := h.hist.at(*seq); lost {
		return nil, nil, true
	}
	list = append(list, h.hist.items[*seq-h.hist.first:]...)
	*seq = h.hist.next()
	return list, h.at, false
}

// here returns the latest version that was delivered, and moves *seq to the batch after it.
func (h *hub) here(seq *uint64) *version {
	h.mu.Lock()
	defer h.mu.Unlock()
	*seq = h.hist.next()
	return h.at
}
