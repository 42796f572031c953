package registry

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Change is the change of one key. Was and Now are nil if there was or is no endpoint: no key, or
// one whose value is not a record. Both may be equal if the same record was written again.
type Change struct {
	Key      string
	Was, Now *Record
}

// Follower knows the records under a target and reports their changes. It always knows the state of
// one revision. So it does not need etcd's history: when the revisions to watch from were
// compacted, or the cluster was restored from a backup, it lists again and reports the difference.
//
// It has no goroutine: its owner calls Next. Between calls the client's watch engine bounds the
// events that wait. Only Close may be called at the same time as Next.
type Follower struct {
	// Attempt bounds one listing, if it is set.
	Attempt func(context.Context) (context.Context, context.CancelFunc)

	// AtLeast is the revision that a listing without a quorum must have reached.
	AtLeast int64

	client *clientv3.Client
	prefix string
	ctx    context.Context
	cancel context.CancelFunc

	known     map[string]entry  // every key under the prefix, even if its value is not a record
	next      int64             // the revision to watch from; 0: never listed
	from      clientv3.OpOption // makes a watch continue from known
	listed    bool              // known is complete before next, so that a watch from there misses nothing
	watch     clientv3.WatchChan
	stopWatch context.CancelFunc // with watch
	complain  complaint
}

// entry is a key as it was last seen.
type entry struct {
	rev int64
	rec *Record // nil if the value is not a record
}

// NewFollower follows a target until ctx ends or Close.
func NewFollower(ctx context.Context, c *clientv3.Client, target string) *Follower {
	f := &Follower{client: c, prefix: Prefix(target), known: make(map[string]entry)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// Close ends a Next under way and all later ones.
func (f *Follower) Close() { f.cancel() }

// Context ends with the follower.
func (f *Follower) Context() context.Context { return f.ctx }

// Closed reports that err, from Next, is final: the follower, its context or the client
// has ended.
func (f *Follower) Closed(err error) bool {
	return f.ctx.Err() != nil || f.client.Ctx().Err() != nil || errors.Is(err, clientv3.ErrClosed)
}

// Next returns the changes, in the order of the keys. The first call returns all records, even if
// there are none. Later calls wait for changes and return them together, with the last state of
// each key. An error loses no changes: Next may be called again unless Closed reports true for it.
func (f *Follower) Next() ([]Change, error) {
	for {
		if err := f.ctx.Err(); err != nil {
			return nil, err
		}
		if !f.listed {
			first := f.next == 0
			changes, err := f.List()
			if err != nil {
				return nil, err
			}
			if first || len(changes) > 0 {
				return changes, nil
			}
		}
		if f.watch == nil {
			f.begin()
		}
		resp, ok, err := f.receive()
		switch {
		case err != nil:
			return nil, err
		case ok:
			if changes := f.apply(resp); len(changes) > 0 {
				return changes, nil
			}
		}
	}
}

// Revision is the revision of the state that the Follower knows; 0 before the first listing.
func (f *Follower) Revision() int64 { return max(0, f.next-1) }

// List lists the records and returns the changes since the last known state, without waiting for
// any. Next continues from there.
func (f *Follower) List() ([]Change, error) {
	ctx, cancel := f.ctx, context.CancelFunc(func() {})
	if f.Attempt != nil {
		ctx, cancel = f.Attempt(ctx)
	}
	defer cancel()
	listed := clientv3.NewListing(0)
	resp, agreed, err := f.get(ctx)
	if err != nil {
		return nil, err
	}
	if f.watch != nil {
		f.end() // the watch would repeat known changes
	}
	before := f.known
	f.known = make(map[string]entry, len(resp.Kvs))
	touched := make(map[string]entry) // as they were
	for _, kv := range resp.Kvs {
		key := string(kv.Key)
		was := before[key]
		delete(before, key)
		now := f.read(kv, was)
		f.known[key] = now
		if was.rev != now.rev || !reflect.DeepEqual(was.rec, now.rec) {
			touched[key] = was
		}
	}
	maps.Copy(touched, before) // the keys that are gone
	f.next, f.listed = resp.Header.Revision+1, true
	f.from = clientv3.WithRev(f.next)
	if agreed { // the answer of one member, which may lag behind, proves nothing
		listed.Add(resp)
		f.from = clientv3.WithListing(listed)
	}
	f.complain.flush(f.client, f.prefix)
	return f.changes(touched), nil
}

// read makes an entry of a key. It logs a bad value once each time it is written.
func (f *Follower) read(kv *mvccpb.KeyValue, was entry) entry {
	rec, err := Decode(kv.Value)
	if err != nil && was.rev != kv.ModRevision {
		f.complain.add(string(kv.Key), err)
	}
	return entry{rev: kv.ModRevision, rec: rec}
}

func (f *Follower) begin() {
	ctx, cancel := context.WithCancel(f.ctx)
	f.stopWatch = cancel
	f.watch = f.client.Watch(ctx, f.prefix, clientv3.WithPrefix(), f.from)
}

// end ends the watch. The known state has to be compared with etcd again.
func (f *Follower) end() {
	f.stopWatch()
	f.watch, f.stopWatch, f.listed = nil, nil, false
}

// receive waits for a response of the watch. If it returns neither a response nor an error, the
// watch has ended because its history is gone.
func (f *Follower) receive() (resp clientv3.WatchResponse, ok bool, err error) {
	select {
	case resp, ok = <-f.watch:
	// A watcher that is not the client's own may not notice these.
	case <-f.ctx.Done():
	case <-f.client.Ctx().Done():
	}
	if ok {
		err = resp.Err()
	}
	switch {
	case ok && err == nil:
		return resp, true, nil
	case f.ctx.Err() != nil:
		err = f.ctx.Err()
	case f.client.Ctx().Err() != nil:
		err = clientv3.ErrClosed
	case !ok:
		err = errWatchEnded
	case errors.Is(err, rpctypes.ErrCompacted), errors.Is(err, clientv3.ErrHistoryLost):
		err = nil
	}
	f.end()
	return resp, false, err
}

var errWatchEnded = errors.New("the watch ended without saying why")

// drainLimit bounds how many responses one Next joins, so that it returns even while changes keep
// coming.
const drainLimit = 1000

// apply handles a response and all that wait behind it.
func (f *Follower) apply(resp clientv3.WatchResponse) []Change {
	touched := make(map[string]entry) // as they were
	for range drainLimit {
		for _, e := range resp.Events {
			key := string(e.Kv.Key)
			was := f.known[key]
			if _, again := touched[key]; !again {
				touched[key] = was
			}
			if e.Type == mvccpb.Event_DELETE {
				delete(f.known, key)
			} else {
				f.known[key] = f.read(e.Kv, was)
			}
			f.next = max(f.next, e.Kv.ModRevision+1)
		}
		select {
		case more, ok := <-f.watch:
			if !ok || more.Err() != nil {
				// Listing again finds out what it is.
				f.end()
				f.complain.flush(f.client, f.prefix)
				return f.changes(touched)
			}
			resp = more
			continue
		default:
		}
		break
	}
	f.complain.flush(f.client, f.prefix)
	return f.changes(touched)
}

// changes compares the former entries of keys with the present ones.
func (f *Follower) changes(touched map[string]entry) []Change {
	list := make([]Change, 0, len(touched))
	for _, key := range slices.Sorted(maps.Keys(touched)) {
		c := Change{Key: key, Was: touched[key].rec, Now: f.known[key].rec}
		if c.Was != nil || c.Now != nil {
			list = append(list, c)
		}
	}
	return list
}

// complainEvery is the least time between two log lines about bad records.
const complainEvery = time.Second

// complaint collects bad records for one line of the client's log.
type complaint struct {
	n    int    // records since the last line
	key  string // the first of them
	err  error
	last time.Time
}

func (c *complaint) add(key string, err error) {
	if c.n++; c.n == 1 {
		c.key, c.err = key, err
	}
}

func (c *complaint) flush(client *clientv3.Client, prefix string) {
	if c.n == 0 || time.Since(c.last) < complainEvery {
		return
	}
	client.GetLogger().Sugar().Warnw("keys that hold no endpoint are skipped",
		"prefix", prefix, "keys", c.n, "first", c.key, "error", c.err)
	*c = complaint{last: time.Now()}
}
