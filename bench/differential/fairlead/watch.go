// Code generated from package official. DO NOT EDIT.

package fairlead

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"

	"github.com/fairlead-go/fairlead/bench/differential/script"
	"github.com/fairlead-go/fairlead/bench/differential/server"
)

// watch is a channel of Watch, and what has come on it.
type watch struct {
	ch     clientv3.WatchChan
	cancel context.CancelFunc
	asks   server.Watch
	whole  bool // responses are not cut into fragments
	seen   int  // events
	last   int64
	ended  bool
	begins bool // the response that says Created is yet to come
	blind  bool // opened on a frozen member: its responses after the thaw are chance
}

var watchCalls = map[string]call{
	"Watch": func(r *runner, s script.Step) {
		op := clientv3.OpWatch(s.Key, r.options(s.Opts)...)
		from := op.Rev()
		if from == 0 && !r.srv.Frozen {
			rev, err := r.revision()
			if err == nil {
				err = r.current()
			}
			if err != nil {
				panic(err)
			}
			from = rev + 1
		}
		ctx, cancel := r.lasting(s.Ctx)
		ch := r.client(s).Watch(ctx, s.Key, r.options(s.Opts)...)
		key, end := r.spread(op.KeyBytes(), op.RangeBytes())
		if len(key) == 0 {
			key = []byte{0} // the same to the server
		}
		r.watches[s.Name] = &watch{
			ch:     ch,
			cancel: cancel,
			whole:  !op.IsFragment(),
			begins: op.IsCreatedNotify(),
			blind:  r.srv.Frozen,
			asks: server.Watch{
				Key: key, End: end, From: from, NoPut: op.IsFilterPut(), NoDelete: op.IsFilterDelete(),
			},
		}
	},
	// Collect receives all events that there are for a watch. If there is none, it makes one, to
	// see whether the watch is alive.
	"Collect": func(r *runner, s script.Step) {
		if w := r.watches[s.Ref]; w != nil {
			r.collect(w, true)
		}
	},
	// Progress asks for progress and waits until a watch reports the store's present revision.
	"Progress": func(r *runner, s script.Step) {
		w := r.watches[s.Ref]
		if w == nil {
			return
		}
		r.collect(w, true)
		if !w.ended {
			r.progress(w, s)
		}
	},
	"RequestProgress": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		r.rec.Add("%s", r.err(r.client(s).RequestProgress(ctx)))
	},
	"CancelWatch": func(r *runner, s script.Step) {
		if w := r.watches[s.Ref]; w != nil {
			r.endWatch(w)
		}
	},
	// Drain receives what comes until the channel is closed, which an earlier step has caused.
	"Drain": func(r *runner, s script.Step) {
		if w := r.watches[s.Ref]; w != nil {
			r.drain(w)
		}
	},
	"Watcher.Close": func(r *runner, s script.Step) {
		r.settle()
		r.rec.Add("%s", r.err(r.client(s).Watcher.Close()))
	},
}

func (r *runner) revision() (int64, error) {
	ctx, cancel := context.WithTimeout(r.ctx, ample)
	defer cancel()
	return r.srv.Revision(ctx)
}

// spread returns a range as it is in the store, behind the namespaces of the stack.
func (r *runner) spread(key, end []byte) ([]byte, []byte) {
	if r.prefix == "" {
		return key, end
	}
	full := append([]byte(r.prefix), key...)
	switch {
	case len(end) == 0:
		return full, nil
	case len(end) == 1 && end[0] == 0:
		return full, []byte(clientv3.GetPrefixRangeEnd(r.prefix))
	}
	return full, append([]byte(r.prefix), end...)
}

// collect receives all events that there are for a watch. If there is none, it may make one.
func (r *runner) collect(w *watch, touching bool) {
	if w.blind {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, ample)
	defer cancel()
	touching = touching && !w.ended && !r.srv.Fixed
	if r.await(ctx, w) > 0 || !touching {
		return
	}
	// Write and delete a key of its range until there is an event for it. Await each event before
	// the next write: a response with several events may be too large for the client.
	key := string(w.asks.Key)
	for reached := false; !reached; {
		rev, err := r.srv.Revision(ctx)
		if err != nil {
			panic(err)
		}
		if w.asks.From > rev+farthest {
			return
		}
		reached = w.asks.From <= rev+1 // a range may be empty
		if err := r.srv.Put(ctx, key, "touched"); err != nil {
			panic(err)
		}
		r.await(ctx, w)
		if err := r.srv.Delete(ctx, key); err != nil {
			panic(err)
		}
		r.await(ctx, w)
	}
}

// farthest is how far ahead of the store a watch may begin for collect to reach it.
const farthest = 100

// await receives all events that there are for a watch, and returns how many there are.
func (r *runner) await(ctx context.Context, w *watch) int {
	expected, err := r.srv.Expected(ctx, w.asks)
	if err != nil {
		panic(err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !w.ended && (w.begins || w.seen < expected) {
		select {
		case resp, ok := <-w.ch:
			r.received(w, resp, ok)
		case <-limit.C:
			r.rec.Add("begun %v, %d of %d events are missing", !w.begins, expected-w.seen, expected)
			return expected
		}
	}
	if w.seen > expected {
		r.rec.Add("%d events too many", w.seen-expected)
	}
	return expected
}

// settle receives what there is for all watches, for two reasons. Before a compaction: a server
// reads a watch's history every 100 ms, so it would be chance whether it is compacted first.
// Before a client is closed: it would be chance what it still delivers.
func (r *runner) settle() {
	if r.srv.Frozen {
		return
	}
	// An event that is made for one watch may be for another as well.
	for _, touching := range []bool{true, false} {
		for _, name := range slices.Sorted(maps.Keys(r.watches)) {
			if w := r.watches[name]; !w.ended {
				r.rec.Add("%s:", name)
				r.collect(w, touching)
			}
		}
	}
}

// received records the events of a response one by one, since it is chance how many travel
// together.
func (r *runner) received(w *watch, resp clientv3.WatchResponse, ok bool) {
	if !ok {
		w.ended = true
		r.rec.Add("closed")
		return
	}
	if resp.IsProgressNotify() || w.blind {
		return
	}
	if resp.Created {
		w.begins = false
		r.rec.Add("created")
	}
	for i, e := range resp.Events {
		r.rec.Add(
			"%v create %v modify %v %s before %s",
			e.Type,
			e.IsCreate(),
			e.IsModify(),
			r.rec.Value(e.Kv),
			r.rec.Value(e.PrevKv),
		)
		if i == 0 && w.whole && e.Kv.ModRevision == w.last {
			r.rec.Add("a revision came in two responses")
		}
		w.last = e.Kv.ModRevision
	}
	w.seen += len(resp.Events)
	if resp.Header == nil || !resp.Canceled && resp.Header.Revision < w.last { // a refusal has no revision
		r.rec.Add("the header is behind: %s", r.rec.Value(resp.Header))
	}
	if resp.Canceled || resp.Err() != nil || resp.CompactRevision != 0 {
		r.rec.Add("cancelled %v compacted %s: %s", resp.Canceled,
			r.rec.Value(struct{ CompactRevision int64 }{resp.CompactRevision}), r.err(resp.Err()))
		if resp.CancelReason != "" {
			r.rec.Add("cancel reason %q", resp.CancelReason)
		}
	}
}

// progress asks again and again: a server that has not sent all events yet may leave a request
// unanswered.
func (r *runner) progress(w *watch, s script.Step) {
	rev, err := r.revision()
	if err != nil {
		panic(err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	ask := func() bool {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		err := r.client(s).RequestProgress(ctx)
		if err != nil {
			r.rec.Add("%s", r.err(err))
		}
		return err == nil
	}
	if !ask() {
		return
	}
	for {
		select {
		case resp, ok := <-w.ch:
			r.received(w, resp, ok)
			if !ok {
				return
			}
			if resp.IsProgressNotify() && resp.Header.Revision >= rev {
				r.rec.Add("progress %s", r.rec.Value(resp.Header))
				return
			}
		case <-again.C:
			if !ask() {
				return
			}
		case <-limit.C:
			r.rec.Add("no progress within %v", patience)
			return
		}
	}
}

func (r *runner) drain(w *watch) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !w.ended {
		select {
		case resp, ok := <-w.ch:
			r.received(w, resp, ok)
		case <-limit.C:
			r.rec.Add("not closed")
			return
		}
	}
}

// endWatch receives all remaining events, and ends the watch by its context.
func (r *runner) endWatch(w *watch) {
	w.blind = w.blind || r.srv.Fault != nil // requests to a frozen member may be executed or not
	r.collect(w, true)
	w.cancel()
	r.drain(w)
}
