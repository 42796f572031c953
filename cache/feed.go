package cache

// A feed keeps the copy of one prefix right, with one goroutine: it lists the keys, page by page at
// one revision, then watches from the next revision on. When the watch ends, whatever the reason,
// it lists again; the difference is delivered as if it had been watched. While etcd does not answer
// the copy stays as it is, and says how old it is.
//
// Only that goroutine changes the core and publishes versions. It publishes in this order: the
// version, then to those who wait for its revision, then to the watches of the hub. So a consumer
// that has seen an event finds it in the copy.

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// pageTry bounds the reading of one page.
const pageTry = 10 * time.Second

// relistWait is the wait after a failure: an outage must not cause a flood of listings.
var relistWait = backoff.Policy{Base: 100 * time.Millisecond, Max: 3 * time.Second}

type feed struct {
	c       *Cache
	prefix  string
	span    span
	now     atomic.Pointer[version] // nil until the first listing is in
	ready   chan struct{}           // closed with the first version
	hub     *hub
	gate    *gate
	assured chan assurance // what sync has found
	relist  chan int       // a read has seen another history than that of an epoch

	// Owned by the goroutine of run.
	core   core
	speaks bool      // the servers say how far the watch is
	heard  time.Time // when the watch last delivered events

	age       age
	connected atomic.Bool
	forwarded atomic.Int64 // consistent reads that etcd had to answer

	mu     sync.Mutex
	err    error         // guarded by mu: the last failure, nil when the copy is right again
	why    error         // guarded by mu: the failure that closed denied
	denied chan struct{} // closed with the first failure that does not pass by waiting
	lists  int           // guarded by mu
	resets int           // guarded by mu
}

func newFeed(c *Cache, prefix string) *feed {
	f := &feed{
		c:       c,
		prefix:  prefix,
		span:    prefixSpan(prefix),
		ready:   make(chan struct{}),
		denied:  make(chan struct{}),
		relist:  make(chan int, 1),
		assured: make(chan assurance),
	}
	f.core.keys = new(tree)
	f.hub = newHub(f)
	f.gate = newGate(f)
	return f
}

func (f *feed) run(ctx context.Context) {
	defer f.hub.close()
	lost := false
	for failures := 0; ctx.Err() == nil; {
		began := time.Now()
		listed, err := f.list(ctx, lost)
		if err == nil {
			f.failed(nil)
			lost = false
			err = f.follow(ctx, listed)
		}
		if ctx.Err() != nil {
			return
		}
		f.connected.Store(false)
		lost = lost || errors.Is(err, clientv3.ErrHistoryLost) || errors.Is(err, errSuspicious)
		if gone(err) {
			// The servers are well: list at once, unless this happens again and again.
			if time.Since(began) > relistWait.Max {
				failures = 0
				continue
			}
		} else {
			f.failed(err)
		}
		_ = backoff.Sleep(ctx, relistWait.Wait(failures))
		failures++
	}
}

var (
	errWatchEnded = errors.New("cache: the watch has ended")
	errSuspicious = errors.New("cache: the cluster has another history than the copy")
)

// gone reports that err says that revisions are not there any more.
func gone(err error) bool {
	return clientv3.SameError(err, errCompacted) || errors.Is(err, clientv3.ErrHistoryLost) ||
		errors.Is(err, errSuspicious)
}

// list reads all keys at one revision and makes the copy equal to them. lost: the revisions have
// begun anew.
func (f *feed) list(ctx context.Context, lost bool) (*clientv3.Listing, error) {
	found, began := new(tree), time.Now()
	pages := follow.NewPages(f.c.kv, f.span.start, f.span.rangeEnd())
	pages.Try = pageTry
	var header *pb.ResponseHeader // of the first page
	for pages.More() {
		r, err := pages.Next(ctx)
		if err != nil {
			return nil, err
		}
		if header == nil {
			header = r.Header
		}
		for _, kv := range r.Kvs {
			found.Set(string(kv.Key), own(kv))
		}
	}
	f.replace(found, header, lost, began)
	return pages.Listing, nil
}

// replace publishes a listing that began at a time.
func (f *feed) replace(found *tree, h *pb.ResponseHeader, lost bool, began time.Time) {
	old := f.now.Load()
	b := f.core.replace(found, h.Revision)
	reset := old != nil &&
		(lost || h.Revision < old.rev || h.ClusterId != old.header.ClusterId || b.contradicts(old.rev))
	epoch := 0
	if old != nil {
		epoch = old.epoch
	}
	f.mu.Lock()
	f.lists++
	if reset {
		epoch++
		f.resets++
	}
	f.mu.Unlock()
	v := newVersion(f.core.keys.Copy(), f.core.newest(), epoch, h.Revision, h)
	f.age.begin(began, reset)
	f.publish(v)
	f.hub.replaced(b, v)
	if old == nil {
		close(f.ready)
	}
}

func (f *feed) publish(v *version) {
	f.now.Store(v)
	f.age.reached(v.rev)
	f.gate.advanced()
}

// follow applies the changes after a listing until the watch ends.
func (f *feed) follow(ctx context.Context, listed *clientv3.Listing) error {
	w := follow.Open(
		ctx,
		f.c.watcher,
		f.span.start,
		clientv3.WithRange(f.span.rangeEnd()),
		clientv3.WithListing(listed),
		clientv3.WithProgressNotify(),
	)
	defer w.Close()
	var changes clientv3.WatchChan
	tick := time.NewTicker(follow.LookEvery)
	defer tick.Stop()
	for {
		select {
		case changes = <-w.Opened:
			f.look()
		case r, ok := <-changes:
			if !ok {
				return errWatchEnded
			}
			if err := r.Err(); err != nil {
				return err
			}
			if err := f.take(&r); err != nil {
				return err
			}
		case <-tick.C:
			f.look()
		case a := <-f.assured:
			f.assure(a)
		case epoch := <-f.relist:
			if epoch == f.now.Load().epoch {
				return errSuspicious
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take applies one response of the watch. The error says that it is of another history.
func (f *feed) take(r *clientv3.WatchResponse) error {
	if f.core.contradicts(r.Events) {
		return errSuspicious
	}
	f.connected.Store(true)
	old := f.now.Load()
	if len(r.Events) == 0 {
		f.progress(old, r)
		return nil
	}
	f.heard = time.Now()
	// The header's revision does not count: a response may be one of several that bring a late
	// watch up to it.
	b := f.core.apply(r.Events)
	if b == nil {
		return nil
	}
	v := newVersion(f.core.keys.Copy(), f.core.newest(), old.epoch, f.core.rev, r.Header)
	f.publish(v)
	f.hub.deliver(b, v)
	return nil
}

// progress takes a response that only says how far the watch is.
func (f *feed) progress(old *version, r *clientv3.WatchResponse) {
	if !r.IsProgressNotify() {
		return
	}
	if f.speaks = f.c.trust.believes(r.Header.GetMemberId()); !f.speaks {
		return
	}
	f.gate.answers.Add(1)
	v := old
	if r.Header.Revision > old.rev {
		v = old.at(r.Header)
		f.core.rev = v.rev
		f.publish(v)
	} else {
		f.gate.advanced()
	}
	f.hub.progress(v)
}

// look notes whether any member answers and follows a leader: then the client keeps the watch on
// such a member, and the watch reports every change.
func (f *feed) look() {
	ok := follow.Reachable(f.c.client)
	f.connected.Store(ok)
	if ok && !f.speaks {
		f.age.quiet(time.Now(), f.heard, f.now.Load().rev)
	}
}

// failed notes why the copy is not right; nil means that it is.
func (f *feed) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	switch clientv3.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument:
		select {
		case <-f.denied:
		default:
			f.why = err
			close(f.denied)
		}
	}
}

func (f *feed) failing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

func (f *feed) denial() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why
}

// suspect makes the feed list again, unless it has done so since v.
func (f *feed) suspect(v *version) {
	select {
	case f.relist <- v.epoch:
	default:
	}
}

func (f *feed) state() State {
	s := State{Prefix: f.prefix, Connected: f.connected.Load(), Forwarded: f.forwarded.Load()}
	f.mu.Lock()
	s.Err, s.Lists, s.Resets = f.err, f.lists, f.resets
	f.mu.Unlock()
	if v := f.now.Load(); v != nil {
		s.Ready, s.Revision, s.Keys = true, v.rev, v.keys.Len()
		s.Age = f.age.get(time.Now())
	}
	return s
}
