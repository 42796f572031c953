package cache

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// localAhead is how many responses may wait in a watch's channel before the watch costs a
// goroutine: a burst of a few is nothing unusual.
const localAhead = 4

// local is a watch on the copy. hub.mu guards the fields after noDelete, but only its pump changes
// since, begun, seq, next and epoch while it is pumping.
type local struct {
	ctx      context.Context
	cancel   context.CancelFunc
	ch       chan clientv3.WatchResponse
	span     span
	prevKV   bool
	progress bool
	created  bool
	noPut    bool
	noDelete bool
	stop     func() bool // set when the hub has it; undoes the AfterFunc on ctx
	since    int64       // events before it are left out,
	begun    int         // in this epoch

	seq     uint64 // the batch to deliver next; earlier ones were delivered or do not concern it
	next    int64  // the same as a revision
	epoch   int    // of next
	pumping bool
	ended   bool
}

func newLocal(ctx context.Context, op *clientv3.Op, s span) *local {
	w := &local{
		ch: make(chan clientv3.WatchResponse, localAhead), span: s, prevKV: op.IsPrevKV(),
		progress: op.IsProgressNotify(),
		created:  op.IsCreatedNotify(), noPut: op.IsFilterPut(), noDelete: op.IsFilterDelete(),
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// wants reports whether an event is for this watch.
func (w *local) wants(e *clientv3.Event, epoch int) bool {
	if !w.span.has(string(e.Kv.Key)) || (epoch == w.begun && e.Kv.ModRevision < w.since) {
		return false
	}
	if e.Type == mvccpb.Event_DELETE {
		return !w.noDelete
	}
	return !w.noPut
}

// view returns the response that a batch means for this watch; any is false if no event of the
// batch concerns it.
func (w *local) view(b *batch) (resp clientv3.WatchResponse, any bool) {
	all := b.plain
	if w.prevKV {
		all = b.full
	}
	n := 0
	for _, e := range all {
		if w.wants(e, b.epoch) {
			n++
		}
	}
	switch n {
	case 0:
		return resp, false
	case len(all): // most often: then all watches share it
	default:
		some := make([]*clientv3.Event, 0, n)
		for _, e := range all {
			if w.wants(e, b.epoch) {
				some = append(some, e)
			}
		}
		all = some
	}
	return clientv3.WatchResponse{Header: b.header, Events: all[:len(all):len(all)], Synthesized: b.synthesized}, true
}

// options returns the options of a watch in etcd that continues this one.
func (w *local) options(rev int64) []clientv3.OpOption {
	opts := []clientv3.OpOption{clientv3.WithRev(rev)}
	if _, one := w.span.one(); !one {
		opts = append(opts, clientv3.WithRange(w.span.rangeEnd()))
	}
	for _, o := range []struct {
		set bool
		opt clientv3.OpOption
	}{
		{w.prevKV, clientv3.WithPrevKV()}, {w.progress, clientv3.WithProgressNotify()},
		{w.noPut, clientv3.WithFilterPut()}, {w.noDelete, clientv3.WithFilterDelete()},
	} {
		if o.set {
			opts = append(opts, o.opt)
		}
	}
	return opts
}
