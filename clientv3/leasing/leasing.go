package leasing

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/worker"
)

var (
	// ErrClosed is returned by all calls after the KV was closed.
	ErrClosed = errors.New("leasing: the KV is closed")

	// ErrNoPrefix is returned by [NewKV] for an empty prefix: leasing keys would be the
	// keys themselves.
	ErrNoPrefix = errors.New("leasing: the leasing prefix is empty")

	// ErrLeasingKey is returned for writes of keys that begin with the leasing prefix.
	ErrLeasingKey = v3.Refusal("leasing: keys that begin with the leasing prefix cannot be written")

	// ErrForeignKey is returned for writes of a key whose leasing key exists and is attached to no
	// lease: no owner has put it, and it would never go.
	ErrForeignKey = errors.New("leasing: the leasing key's place is taken by a key without a lease")
)

// closeFor bounds how long closing waits for the cluster. If it does not answer, the lease expires.
const closeFor = 2 * time.Second

// confirmFor bounds how long NewKV waits for the first renewal.
const confirmFor = time.Second

// leasing is the KV. Its state is guarded by mu. The files: owned keys and reads (cache.go,
// acquire.go), writes (write.go), giving keys up (release.go), the watch on the leasing prefix
// (watch.go), sessions (tenure.go), signs of a restored etcd (history.go).
//
// The main rule: as long as the leasing key exists, an entry in owned, read under mu while no own
// write of it is under way, has the value that the cluster holds. The clock, read afterwards
// (valid), proves that the leasing key existed when the entry was read. So an entry is removed
// before its leasing key. All of this holds in one history of etcd; see history.
type leasing struct {
	inner   v3.KV
	watcher v3.Watcher
	lessor  v3.Lease
	pfx     string
	pfxEnd  string // "\x00": the end of all keys
	epoch   time.Time
	group   *worker.Group
	ctx     context.Context // ends with close and with the client

	mu      sync.RWMutex
	closed  bool                     // guarded by mu
	term    *tenure                  // guarded by mu; nil: no session, nothing is owned
	owned   map[string]*entry        // guarded by mu; by key
	bytes   int                      // guarded by mu; of the values in owned
	asking  map[string]*asking       // guarded by mu; requests under way that put a leasing key
	leaving map[string][]int64       // guarded by mu; create revisions of leasing keys to delete, by key
	quiet   map[string]time.Duration // guarded by mu; until when, since epoch, a key is not taken
	waiters map[*waiter]struct{}     // guarded by mu
	release chan struct{}            // capacity 1; a key was added to leaving
	doubt   chan struct{}            // capacity 1; the history may be another
}

// entry is an owned key.
type entry struct {
	t      *tenure
	fence  int64              // create revision of the leasing key
	kv     *mvccpb.KeyValue   // guarded by leasing.mu; replaced, never changed; nil: absent
	header *pb.ResponseHeader // guarded by leasing.mu; of the answer that kv is from
	in     history            // guarded by leasing.mu; in which that was asked for
	writes int                // guarded by leasing.mu; own writes under way: kv may be old
}

// NewKV returns a KV that owns the keys that it reads, and a function that closes it. Closing gives
// the keys up, for which it waits at most 2 s, and ends the goroutines. NewKV uses the KV and the
// Watcher that cl has now, so that the new KV may replace cl.KV.
//
// The options are those of the session whose lease the leasing keys are attached to. Its
// TTL, 60 s by default, is how long a write may have to wait for an owner that has
// died. Closing revokes the lease, as closing a session does, even one that was given by WithLease;
// such a lease must not be given to two KVs. When the context of WithContext ends, the lease is
// revoked too, and from then on all reads go to the cluster. Without it NewKV waits for the cluster
// as long as the client lives, but for the answer to the first renewal a second at most. The Lease
// of cl must know how long a lease is held, see clientv3.LeaseValidUntil; else nothing is answered
// from memory. Its user needs read and write permission for the leasing keys of all keys that it
// reads or writes, and read permission for the whole leasing prefix.
func NewKV(cl *v3.Client, pfx string, opts ...concurrency.SessionOption) (v3.KV, func(), error) {
	if pfx == "" {
		return nil, nil, ErrNoPrefix
	}
	group := worker.New(cl.Ctx())
	l := &leasing{
		inner: cl.KV, watcher: cl.Watcher, lessor: cl.Lease, pfx: pfx, pfxEnd: v3.GetPrefixRangeEnd(pfx),
		epoch: time.Now(), group: group, ctx: group.Context(),
		owned: make(map[string]*entry), asking: make(map[string]*asking), leaving: make(map[string][]int64),
		quiet: make(map[string]time.Duration), waiters: make(map[*waiter]struct{}),
		release: make(chan struct{}, 1), doubt: make(chan struct{}, 1),
	}
	s, err := concurrency.NewSession(cl, opts...)
	if err != nil {
		return nil, nil, err
	}
	listed := v3.NewListing(0)
	r, err := l.inner.Get(s.Ctx(), pfx, v3.WithKeysOnly()) // the watch begins at its revision
	if err != nil {
		giveUp(s)
		group.Stop()
		return nil, nil, err
	}
	listed.Add(r)
	l.term = newTenure(cl, s)
	l.confirm(l.term)
	l.group.Go(func(ctx context.Context) { l.serve(ctx, cl, opts) })
	l.group.Go(func(ctx context.Context) { l.follow(ctx, listed) })
	l.group.Go(l.giveBack)
	return l, sync.OnceFunc(l.close), nil
}

func (l *leasing) close() {
	l.mu.Lock()
	l.closed = true
	t := l.forfeit()
	l.mu.Unlock()
	l.group.Stop()
	if t != nil {
		giveUp(t.s)
	}
}

func (l *leasing) Put(ctx context.Context, key, val string, opts ...v3.OpOption) (*v3.PutResponse, error) {
	r, err := l.write(ctx, request{op: v3.OpPut(key, val, opts...), bare: len(opts) == 0})
	return r.Put(), err
}

func (l *leasing) Get(ctx context.Context, key string, opts ...v3.OpOption) (*v3.GetResponse, error) {
	op := v3.OpGet(key, opts...)
	return l.get(ctx, &op)
}

func (l *leasing) GetStream(ctx context.Context, key string, opts ...v3.OpOption) (v3.GetStreamChan, error) {
	if l.isClosed() {
		return nil, ErrClosed
	}
	return l.inner.GetStream(ctx, key, opts...)
}

func (l *leasing) Delete(ctx context.Context, key string, opts ...v3.OpOption) (*v3.DeleteResponse, error) {
	r, err := l.Do(ctx, v3.OpDelete(key, opts...))
	return r.Del(), err
}

func (l *leasing) Compact(ctx context.Context, rev int64, opts ...v3.CompactOption) (*v3.CompactResponse, error) {
	if l.isClosed() {
		return nil, ErrClosed
	}
	return l.inner.Compact(ctx, rev, opts...)
}

func (l *leasing) Do(ctx context.Context, op v3.Op) (v3.OpResponse, error) {
	switch {
	case op.IsGet():
		r, err := l.get(ctx, &op)
		if err != nil {
			return v3.OpResponse{}, err
		}
		return r.OpResponse(), nil
	case op.IsTxn():
		return l.transact(ctx, op)
	}
	return l.write(ctx, request{op: op})
}

func (l *leasing) isClosed() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.closed
}

// leasingKey is the key that the owner of a key puts.
func (l *leasing) leasingKey(key string) string { return l.pfx + key }
