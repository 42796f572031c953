package watch

// Slow consumers. If a watcher's consumer does not take a response at once, the watcher gets a
// backlog, and the shell starts a pump that delivers it. All backlogs together are bounded. Past
// the limit the watcher with the most bytes is parked: the server is asked to stop, and the watcher
// resumes at its position when its backlog has shrunk to a quarter. So nothing is lost, unless the
// server compacts the revisions that the watcher still needs; then the user gets the backlog, and
// after it the compaction.

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// parkedFraction: a parked watcher resumes when its backlog has shrunk to this part, a quarter. If
// it resumed later, the consumer would have to wait; if much earlier, it would be parked again at
// once.
const parkedFraction = 4

// The bytes of one response, and of one event in it, beyond their keys and values:
// struct sizes and slice headers, rounded up.
const (
	responseOverhead = 256
	eventOverhead    = 256
)

// backlog holds the responses that wait for one consumer.
type backlog struct {
	items    []item
	bytes    int64
	index    int   // where the watcher stands in core.slow; -1: not there
	parkedAt int64 // bytes when it was parked

	part      []*mvccpb.Event // of a revision that is not complete
	partBytes int64
}

type item struct {
	d     Delivery
	bytes int64
	last  bool
}

// sizeOf estimates the memory that resp holds.
func sizeOf(resp *pb.WatchResponse) int64 { return responseOverhead + sizeOfEvents(resp.Events) }

//go:noinline
func sizeOfEvents(evs []*mvccpb.Event) (n int64) {
	for _, ev := range evs {
		n += eventOverhead
		if kv := ev.GetKv(); kv != nil {
			n += int64(len(kv.Key) + len(kv.Value))
		}
		if kv := ev.GetPrevKv(); kv != nil {
			n += int64(len(kv.Key) + len(kv.Value))
		}
	}
	return n
}

// partial returns the events that are held back of a revision that is not complete.
//
//go:noinline
func (w *watcher) partial() []*mvccpb.Event {
	if w.backlog == nil {
		return nil
	}
	return w.backlog.part
}

// hold keeps events until the rest of their revision has arrived. It returns false if they are more
// than may wait.
func (c *core) hold(w *watcher, evs []*mvccpb.Event) bool {
	b := c.needBacklog(w)
	// The events are copied: those before them in their slice are delivered.
	b.part, b.partBytes = append([]*mvccpb.Event(nil), evs...), sizeOfEvents(evs)
	c.buffered += b.partBytes
	return b.partBytes <= c.limit && c.buffered <= 2*c.limit
}

func (w *watcher) queued() bool { return w.backlog != nil && len(w.backlog.items) > 0 }

func (c *core) needBacklog(w *watcher) *backlog {
	if w.backlog == nil {
		w.backlog = &backlog{index: -1}
	}
	return w.backlog
}

// offer delivers resp to w: through the backlog if there is one.
func (c *core) offer(now time.Time, w *watcher, resp *pb.WatchResponse, err error, last bool) {
	if w.dropped {
		return
	}
	if w.queued() {
		c.enqueue(now, w, Delivery{Resp: resp, Err: err}, last)
		return
	}
	c.do(action{kind: actOffer, w: w, resp: resp, err: err, last: last})
}

// blocked is an input: the consumer did not take what actOffer offered.
func (c *core) blocked(now time.Time, w *watcher, d Delivery, last bool) {
	if !w.dropped {
		c.enqueue(now, w, d, last)
	}
}

func (c *core) enqueue(now time.Time, w *watcher, d Delivery, last bool) {
	b := c.needBacklog(w)
	n := sizeOf(d.Resp)
	b.items = append(b.items, item{d: d, bytes: n, last: last})
	b.bytes += n
	c.buffered += n
	if b.index < 0 {
		b.index = len(c.slow)
		c.slow = append(c.slow, w)
		c.act(actPump, nil, w)
	}
	if c.buffered > c.limit {
		c.parkLargest()
	}
}

// head returns the item that the pump has to deliver next.
func (c *core) head(w *watcher) (item, bool) {
	if !w.queued() {
		return item{}, false
	}
	return w.backlog.items[0], true
}

// taken is an input: the consumer took the head of the backlog.
func (c *core) taken(now time.Time, w *watcher) {
	b := w.backlog
	if b == nil || len(b.items) == 0 {
		return
	}
	it := b.items[0]
	b.items[0] = item{}
	b.items = b.items[1:]
	b.bytes -= it.bytes
	c.buffered -= it.bytes
	resumes := w.state == stateParked && b.bytes*parkedFraction <= b.parkedAt
	if len(b.items) == 0 {
		c.notSlow(w)
		if b.part == nil {
			w.backlog = nil
		}
	}
	if it.last {
		w.dropped = true
		c.act(actEnd, nil, w)
	}
	if resumes {
		c.note(nil, w, nil, "watch resumes, its consumer has caught up")
		c.pend(now, w)
		c.arm(w.g)
	}
}

// delivered is an input: the consumer took an offer at once. It matters for the
// last one only.
func (c *core) delivered(w *watcher, last bool) {
	if last && !w.dropped {
		w.dropped = true
		c.act(actEnd, nil, w)
	}
}

func (c *core) notSlow(w *watcher) {
	i := w.backlog.index
	if i < 0 {
		return
	}
	n := len(c.slow) - 1
	c.slow[i] = c.slow[n]
	c.slow[i].backlog.index = i
	c.slow[n] = nil
	c.slow = c.slow[:n]
	w.backlog.index = -1
}

func (c *core) clearBacklog(w *watcher) {
	b := w.backlog
	if b == nil {
		return
	}
	c.clearPartial(w)
	if b = w.backlog; b != nil {
		c.buffered -= b.bytes
		c.notSlow(w)
		w.backlog = nil
	}
}

// clearPartial drops the events that are held back of a revision.
//
//go:noinline
func (c *core) clearPartial(w *watcher) {
	b := w.backlog
	if b == nil || b.part == nil {
		return
	}
	c.buffered -= b.partBytes
	b.part, b.partBytes = nil, 0
	if len(b.items) == 0 {
		w.backlog = nil
	}
}

// parkLargest parks the watcher with the most bytes in its backlog among those that
// can still get more.
func (c *core) parkLargest() {
	var most *watcher
	for _, w := range c.slow {
		if w.state != stateParked && w.state != stateEnded && (most == nil || w.backlog.bytes > most.backlog.bytes) {
			most = w
		}
	}
	if most == nil {
		return
	}
	c.leave(most)
	most.state = stateParked
	most.backlog.parkedAt = most.backlog.bytes
	c.note(nil, most, nil, "watch parked, its consumer is too slow")
}
