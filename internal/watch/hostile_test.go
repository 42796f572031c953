package watch

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

// A server that answers anything. No answer may break the core's promises: revisions
// never go back, nothing comes twice, nothing after the end, one end, memory stays
// bounded; and once a sane server answers, every watcher that has not ended is
// served.
type hostile struct {
	*model
}

// anything makes a response from the next bytes, with values that tend to mean
// something: ids near those in use, revisions near the position.
func (h *hostile) anything() *pb.WatchResponse {
	ids := []int64{-1, -7, 0, 1, 2, 3, 4, 5, 6, 1 << 40}
	revs := []int64{0, -1, 1, 2, 3, 4, 5, 6, 7, 1 << 40}
	reasons := []string{"", "", "denied", "token", "noleader"}
	r := &pb.WatchResponse{WatchId: ids[h.next(len(ids))]}
	if h.st != nil && h.next(2) == 0 {
		r.WatchId = h.st.nextID - int64(h.next(4))
	}
	if h.next(8) != 0 {
		r.Header = &pb.ResponseHeader{Revision: revs[h.next(len(revs))], ClusterId: uint64(h.next(3))}
	}
	flags := h.next(64)
	r.Created = flags&3 == 0
	r.Canceled = flags&0x1c == 0
	r.Fragment = flags&0x20 != 0 && h.next(2) == 0
	if h.next(16) == 0 {
		r.CompactRevision = revs[h.next(len(revs))]
	}
	if r.Canceled {
		r.CancelReason = reasons[h.next(len(reasons))]
	}
	for range h.next(5) {
		ev := &mvccpb.Event{
			Kv: &mvccpb.KeyValue{ModRevision: revs[h.next(len(revs))], Value: make([]byte, h.next(256))},
		}
		switch h.next(16) {
		case 0:
			ev.Kv = nil
		case 1:
			ev = nil
		}
		r.Events = append(r.Events, ev)
	}
	return r
}

func (h *hostile) step() {
	switch h.next(8) {
	default:
		if h.st != nil {
			resp := h.anything()
			var err error
			if resp.CancelReason != "" {
				err = errors.New(resp.CancelReason)
			}
			h.core.response(h.now, h.st, resp, err, Verdict(h.next(3)))
		}
	case 0:
		if len(h.consumers) < 30 {
			h.addWatcher()
		}
	case 1:
		if h.st != nil && !h.st.live {
			h.core.opened(h.now, h.st, "m", time.Time{})
		} else if h.st != nil && h.next(8) == 0 {
			h.core.broken(h.now, h.st, errors.New("reset"), Verdict(h.next(3)))
		}
	case 2:
		if len(h.consumers) > 0 {
			c := h.consumers[h.next(len(h.consumers))]
			switch h.next(8) {
			case 0:
				h.core.cancel(h.now, c.w)
			case 1, 2:
				c.blocked = !c.blocked
			}
			if !c.blocked {
				h.drain(c)
			}
		}
	case 3:
		h.passTime(time.Duration(h.next(8)) * 300 * time.Millisecond)
	case 4:
		if len(h.checks) > 0 {
			var err error
			if h.next(3) == 0 {
				err = errors.New("timeout")
			}
			h.answer(
				Finding{
					Revision:  int64(h.next(8)),
					ClusterID: uint64(h.next(3)),
					Different: h.next(2) == 0,
					Unproved:  h.next(4) == 0,
				},
				err,
				Verdict(h.next(3)),
			)
		}
	}
	h.run()
	if most := int64(3*6000 + 30*3000); h.core.buffered < 0 || h.core.buffered > most {
		h.t.Fatalf("%d bytes buffered", h.core.buffered)
	}
}

// answer answers the oldest check.
func (h *hostile) answer(f Finding, err error, v Verdict) {
	a := h.checks[0].action
	h.checks = h.checks[1:]
	if a.w != nil {
		h.core.vouched(h.now, a.w, a.st, a.round, f, err, v)
	} else {
		h.core.checked(h.now, a.g, f, err, v)
	}
}

func runHostile(t *testing.T, data []byte) {
	h := &hostile{newModel(t, data)}
	h.lies = true
	for len(h.bytes) > 0 {
		h.step()
	}
	// From here a sane server whose history is the one that the watchers believe in.
	for range 1 << 10 {
		for _, c := range h.consumers {
			c.blocked = false
			h.drain(c)
		}
		for len(h.checks) > 0 {
			h.answer(Finding{Revision: 1 << 50}, nil, Retry)
			h.run()
		}
		h.passTime(time.Second)
		switch st := h.st; {
		case st == nil:
		case !st.live:
			h.core.opened(h.now, st, "sane", time.Time{})
		case st.member != "sane":
			h.core.broken(h.now, st, errors.New("reset"), Retry)
		case len(st.creates) > 0:
			h.core.response(
				h.now,
				st,
				&pb.WatchResponse{
					WatchId: st.creates[0].id,
					Created: true,
					Header:  &pb.ResponseHeader{Revision: 1 << 50},
				},
				nil,
				Retry,
			)
		}
		h.run()
	}
	for _, c := range h.consumers {
		if c.ended > 1 || c.ended == 0 && c.w.state != stateActive {
			t.Fatalf("%s: %s, %d ends", c.name, c.w.state, c.ended)
		}
		seen := map[string]bool{}
		for i, g := range c.got {
			// A hostile server's events have no version: several may be of one revision.
			if seen[g] && c.got[i-1] != g {
				t.Fatalf("%s: %s twice: %v", c.name, g, c.got)
			}
			seen[g] = true
		}
	}
	if h.core.buffered != 0 || len(h.core.slow) != 0 {
		t.Fatalf("%d bytes still accounted, %d slow", h.core.buffered, len(h.core.slow))
	}
	h.core.close(h.now)
	h.run()
	for _, c := range h.consumers {
		if c.ended != 1 {
			t.Fatalf("%s: %d ends after close", c.name, c.ended)
		}
	}
}

func TestHostile(t *testing.T) { scenario.Models(t, 3000, runHostile) }

func FuzzHostile(f *testing.F) { scenario.Fuzz(f, runHostile) }
