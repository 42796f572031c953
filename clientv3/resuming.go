package clientv3

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// NewResumingWatcher returns a Watcher whose watches survive what ends ordinary
// ones: the revisions to deliver were compacted, or the cluster was restored from a
// backup. Such a watch then lists its keys again and delivers them as events of a
// response that is marked Synthesized: a put for every key that is there (in another history a
// key may have the same revision and another value), a delete for every key that is
// gone. What happened to a key in between, and the order among keys, is lost; the consumer's
// picture of the keys is right all the same. After that the watch goes on.
//
// To know what is gone each watch remembers the keys of its range, about 100 bytes
// each besides the key itself; it lists them (keys only) when it begins. With [WithFilterPut] the
// server sends it puts all the same, for that purpose. Synthesized events have no PrevKv, and
// deletes have the revision of the listing. Each watch has a goroutine. All other errors, and
// Close, end a watch as usual.
func NewResumingWatcher(w Watcher, kv KV) Watcher {
	return &resumingWatcher{w: w, kv: kv, group: worker.New(context.Background())}
}

type resumingWatcher struct {
	w     Watcher
	kv    KV
	group *worker.Group
}

// RequestProgress implements Watcher.
func (rw *resumingWatcher) RequestProgress(ctx context.Context) error {
	return rw.w.RequestProgress(ctx)
}

// Close ends the watches made here; the underlying Watcher stays open.
func (rw *resumingWatcher) Close() error {
	rw.group.Stop()
	return nil
}

// Watch implements Watcher.
func (rw *resumingWatcher) Watch(ctx context.Context, key string, opts ...OpOption) WatchChan {
	op := OpWatch(key, opts...)
	r := &resuming{
		rw:    rw,
		op:    op,
		key:   key,
		opts:  opts,
		out:   make(chan WatchResponse, 1),
		known: make(map[string]struct{}),
	}
	fail := func(err error) WatchChan {
		r.out <- WatchResponse{Canceled: true, CancelReason: err.Error(), closeErr: err}
		close(r.out)
		return r.out
	}
	switch {
	case ctx == nil:
		return fail(errNilContext("Watch.Watch"))
	case op.err != nil:
		return fail(op.err)
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	first, err := r.begin()
	if err != nil {
		if etcderr.ClassOf(err) == etcderr.Ended {
			_ = backoff.Sleep(ctx, endsWithin) // the error may come before ctx's own timer
		}
		r.cancel()
		if ctx.Err() != nil {
			close(r.out)
			return r.out
		}
		return fail(err)
	}
	if !rw.group.Go(func(closing context.Context) {
		stop := context.AfterFunc(closing, r.cancel)
		defer stop()
		defer r.cancel()
		defer close(r.out)
		r.run(first, closing)
	}) {
		r.cancel()
		return fail(etcderr.Closed("Watch.Watch"))
	}
	return r.out
}

// endsWithin is how much earlier than its context a call may report the context's end.
const endsWithin = 100 * time.Millisecond

// resuming is one watch. After begin it belongs to its goroutine.
type resuming struct {
	rw     *resumingWatcher
	op     Op
	key    string
	opts   []OpOption
	ctx    context.Context
	cancel context.CancelFunc
	out    chan WatchResponse
	known  map[string]struct{} // the keys of the range as far as the watch has come
	next   int64               // revision to go on from
	listed *Listing            // what was listed as of the revision before next; nil: nothing
	notNew bool                // the created notice was delivered, or is not wanted
}

// begin learns the keys as of the start and opens the first watch.
func (r *resuming) begin() (WatchChan, error) {
	r.notNew = !r.op.createdNotify
	if r.op.rev == 1 { // before the first revision there is nothing
		r.next = 1
		return r.watch(), nil
	}
	base := int64(0)
	if r.op.rev > 0 {
		base = r.op.rev - 1
	}
	r.listed = NewListing(base)
	list, err := r.list(base, WithKeysOnly())
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		// What was before is not known any more; watching answers the same, and the
		// whole range is delivered as puts.
		r.listed = nil
	case errors.Is(err, rpctypes.ErrFutureRev):
		if list, err = r.list(0, WithKeysOnly()); err != nil {
			return nil, err
		}
		r.listed = nil // of no revision that was
		fallthrough
	case err == nil:
		if r.listed != nil {
			r.listed.Add(r.newest(list))
		}
		for _, kv := range list.Kvs {
			r.known[string(kv.Key)] = struct{}{}
		}
		r.next = list.Header.Revision + 1
	default:
		return nil, err
	}
	if r.op.rev > 0 {
		r.next = r.op.rev
	}
	return r.watch(), nil
}

// newest is the newest key of a list of keys, with its value: two histories may have put the same
// key at the same revision.
func (r *resuming) newest(list *GetResponse) *GetResponse {
	if len(list.Kvs) == 0 {
		return list
	}
	kv := slices.MaxFunc(list.Kvs, func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.ModRevision, b.ModRevision) })
	one, err := r.rw.kv.Get(r.ctx, string(kv.Key), WithRev(cmp.Or(r.listed.Revision(), list.Header.GetRevision())))
	if err != nil || len(one.Kvs) == 0 {
		return list
	}
	one.Header = list.Header
	return one
}

func (r *resuming) list(rev int64, more ...OpOption) (*GetResponse, error) {
	opts := append([]OpOption{func(op *Op) { op.end = r.op.end }}, more...)
	if rev > 0 {
		opts = append(opts, WithRev(rev))
	}
	return r.rw.kv.Get(r.ctx, string(r.op.key), opts...)
}

func (r *resuming) watch() WatchChan {
	opts := append([]OpOption{}, r.opts...)
	from := WithRev(r.next)
	if r.listed != nil {
		from = WithListing(r.listed)
	}
	opts = append(opts, from, func(op *Op) { op.filterPut = false }) // learn needs them
	return r.rw.w.Watch(r.ctx, r.key, opts...)
}

// run passes responses on, and begins again when the watch ends by lost history.
func (r *resuming) run(ch WatchChan, closing context.Context) {
	for {
		lost := false
		for resp := range ch {
			if history(resp.Err()) {
				lost = true
				break
			}
			if resp.Created {
				if r.notNew {
					continue
				}
				r.notNew = true
			}
			r.learn(&resp)
			if r.op.filterPut && !r.withoutPuts(&resp) {
				continue
			}
			if !r.send(resp) {
				return
			}
		}
		if r.ctx.Err() != nil {
			if closing.Err() != nil {
				select {
				case r.out <- WatchResponse{Canceled: true, closeErr: etcderr.Closed("Watch.Watch")}:
				default:
				}
			}
			return
		}
		if !lost || !r.relist() {
			return
		}
		ch = r.watch()
	}
}

// history reports that err says that revisions are not there any more.
func history(err error) bool {
	return errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, ErrHistoryLost)
}

// learn notes what the consumer knows.
func (r *resuming) learn(resp *WatchResponse) {
	for _, e := range resp.Events {
		if e.Type == mvccpb.Event_DELETE {
			delete(r.known, string(e.Kv.Key))
		} else {
			r.known[string(e.Kv.Key)] = struct{}{}
		}
		r.next = max(r.next, e.Kv.ModRevision+1)
	}
	if resp.IsProgressNotify() {
		r.next = max(r.next, resp.Header.Revision+1)
	}
}

// withoutPuts takes the puts out of a response, and reports whether there is something to say.
func (r *resuming) withoutPuts(resp *WatchResponse) bool {
	if len(resp.Events) == 0 {
		return true
	}
	var events []*Event // the response may be shared
	for _, e := range resp.Events {
		if e.Type != mvccpb.Event_PUT {
			events = append(events, e)
		}
	}
	resp.Events = events
	return len(events) > 0 || resp.Canceled || resp.Created
}

// relist delivers what is there, and a delete for each key that the watch knew and that is gone.
func (r *resuming) relist() bool {
	wait := backoff.Policy{Base: retry.DefaultWaitBase, Max: retry.DefaultWaitMax}
	var list *GetResponse
	for n := 0; ; n++ {
		r.listed = NewListing(0)
		var err error
		if list, err = r.list(0); err == nil {
			r.listed.Add(list)
			break
		}
		if etcderr.ClassOf(err) == etcderr.Final {
			r.send(WatchResponse{Canceled: true, CancelReason: err.Error(), closeErr: err})
			return false
		}
		if backoff.Sleep(r.ctx, wait.Wait(n)) != nil {
			return false
		}
	}
	there := make(map[string]struct{}, len(list.Kvs))
	var events []*Event
	for _, kv := range list.Kvs {
		there[string(kv.Key)] = struct{}{}
		if !r.op.filterPut {
			events = append(events, &Event{Type: mvccpb.Event_PUT, Kv: kv})
		}
	}
	for key := range r.known {
		if _, ok := there[key]; !ok && !r.op.filterDelete {
			events = append(
				events,
				&Event{
					Type: mvccpb.Event_DELETE,
					Kv:   &mvccpb.KeyValue{Key: []byte(key), ModRevision: list.Header.Revision},
				},
			)
		}
	}
	r.known, r.next = there, list.Header.Revision+1
	if len(events) == 0 {
		return true
	}
	return r.send(WatchResponse{Header: (*pb.ResponseHeader)(list.Header), Events: events, Synthesized: true})
}

func (r *resuming) send(resp WatchResponse) bool {
	select {
	case r.out <- resp:
		return true
	case <-r.ctx.Done():
		return false
	}
}
