package discovery

// A feed keeps one service's instances right, with one goroutine: it lists the records, then
// watches from the next revision on. When the watch ends (compacted, a restored backup), it lists
// again and compares. While etcd does not answer, the known instances stay, stale.
//
// feed.mu guards the tree and the subscriptions; only the goroutine of run changes the tree. The
// present view is behind an atomic pointer. The cost of a change does not depend on the number of
// instances: the tree copies the nodes on its way, and each subscription notes the keys.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// listTry bounds the reading of one page of records.
const listTry = 10 * time.Second

type feed struct {
	d       *Directory
	of      *followed
	cluster *cluster
	service string
	prefix  string
	ctx     context.Context
	stop    context.CancelFunc
	view    atomic.Pointer[View]
	epoch   time.Time    // has a monotonic reading: clocks may jump
	asOf    atomic.Int64 // nanoseconds since epoch: when the view was last known to be right

	mu    sync.Mutex
	tree  *btree.Map[string, *Instance] // by key
	subs  map[*track]struct{}
	stale bool
	ended bool
	err   error // why the records cannot be read; nil: they can
	// controlErr is why the latest control record of the service is not in force.
	controlErr error

	// The goroutine of run's own.
	away   time.Time // since when no member has answered; zero: one has
	drains int
	guard  guard
	store  *store // nil: no file
	// The operators' record (control_feed.go), and the revision of it; 0: it may not be read. plain
	// has the own records of the instances that are shown otherwise, by key.
	control     *Control
	controlRev  int64
	controlRead *clientv3.Listing // the record as it was read; the watch goes on from it
	controlNext time.Time         // when it is tried again, if it may not be read
	plain       map[string]*Instance

	watcher announcement // see drain.go
}

func newFeed(of *followed, c *cluster) *feed {
	d, service := of.d, of.service
	f := &feed{
		d: d, of: of, cluster: c, service: service, prefix: d.format.Prefix(service),
		epoch: time.Now(),
		tree:  new(btree.Map[string, *Instance]), subs: make(map[*track]struct{}), stale: true,
		plain: make(map[string]*Instance), control: new(Control),
	}
	f.ctx, f.stop = context.WithCancel(d.group.Context())
	f.watcher.acked = make(chan struct{}, 1)
	f.watcher.held.Store(c.announcer != nil) // for announce
	f.guard.Protection, f.guard.hold = d.protect, d.hold
	if d.files != "" {
		f.store = newStore(c.files(d.files), service)
	}
	return f
}

func (f *feed) run(context.Context) {
	defer f.withdraw()
	defer f.end()
	defer f.stop()
	if f.store != nil {
		defer f.store.save(f)
	}
	for failures := 0; f.ctx.Err() == nil; {
		listed, err := f.listInTurn()
		if err == nil {
			failures = 0
			err = f.follow(listed)
		} else {
			f.read(err)
		}
		if f.ctx.Err() != nil {
			return
		}
		if err != nil {
			f.leave()
			apart(f.fromFile)
			_ = backoff.Sleep(f.ctx, retry.Wait(failures))
			failures++
		}
	}
}

// read notes whether the records can be read. It reports a missing permission, once: an operator
// has to grant it.
func (f *feed) read(err error) {
	if f.ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	was := f.err
	f.err = err
	f.mu.Unlock()
	if refused(err) && !refused(was) {
		f.problem("", fmt.Errorf("the records cannot be read: %w", err))
	}
}

// refused reports that etcd understood a request and does not allow it.
func refused(err error) bool {
	switch clientv3.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument:
		return true
	}
	return false
}

// listInTurn waits for its turn, for as long as for a page, and lists.
func (f *feed) listInTurn() (listed *clientv3.Listing, err error) {
	try := listTry
	if f.view.Load() == nil && f.store != nil {
		try = fileAfter
	}
	ctx, cancel := context.WithTimeout(f.ctx, try)
	defer cancel()
	if late := turn(ctx, f.cluster.lists, func() { listed, err = f.list(try) }); late != nil {
		return nil, late
	}
	return listed, err
}

// list reads all records and makes the tree equal to them. It tries each page for a limited time.
func (f *feed) list(try time.Duration) (*clientv3.Listing, error) {
	found := make(map[string]*Instance)
	var older []string // see twin.go
	pages := follow.PrefixPages(f.cluster.client, f.prefix)
	pages.Try = try
	for pages.More() {
		r, err := pages.Next(f.ctx)
		if err != nil {
			return nil, err
		}
		f.guard.saw(r.Header.GetRaftTerm(), time.Now())
		for _, kv := range r.Kvs {
			in := f.decode(kv)
			if in == nil {
				continue
			}
			found[string(kv.Key)] = in
			if f.older(kv, in) {
				older = append(older, string(kv.Key))
			}
		}
	}
	if err := f.readControl(listTry, pages.Rev); err != nil {
		return nil, err
	}
	f.read(nil) // before the view is there, and with it those who wait for it
	c := f.begin()
	if f.view.Load() != nil { // the events since then are unknown: a wipe, say
		f.guard.back(c.now)
	}
	for _, key := range f.tree.Keys() {
		if found[key] == nil && !isTwin(key) {
			c.remove(key)
		}
	}
	c.doubt(older, found)
	for key, in := range found {
		c.put(key, in)
	}
	c.publish(pages.Rev, false)
	return pages.Listing, nil
}

// decode reads a record. It returns nil for a key that is no instance; a bad record it reports.
func (f *feed) decode(kv *mvccpb.KeyValue) *Instance {
	if len(kv.Value) > 4*maxRecord {
		f.problem(string(kv.Key), fmt.Errorf("a record of %d bytes", len(kv.Value)))
		return nil
	}
	in, err := f.d.format.Unmarshal(f.service, string(kv.Key), kv.Value)
	if err != nil {
		if !errors.Is(err, ErrNotInstance) {
			f.problem(string(kv.Key), err)
		}
		return nil
	}
	in.Cluster = f.cluster.name
	return in
}

// problem reports a fault that was worked around.
func (f *feed) problem(key string, err error) {
	f.d.problem(Problem{f.service, key, err, f.cluster.name})
}

// follow applies the changes after a listing until the watch ends. It waits nearly all of the time,
// with its stack, so what is not for waiting is done in methods.
func (f *feed) follow(listed *clientv3.Listing) error {
	w := f.followRecords(listed)
	defer w.Close()
	var changes, controls clientv3.WatchChan
	cw, controlsOpened := f.followControl()
	defer func() {
		if cw != nil {
			cw.Close()
		}
	}()
	tick := time.NewTicker(follow.LookEvery)
	defer tick.Stop()
	for {
		select {
		case changes = <-w.Opened:
		case r, ok := <-changes:
			if err := f.take(&r, ok); err != nil {
				return err
			}
		case controls = <-controlsOpened:
		case r, ok := <-controls:
			if !f.takeControl(&r, ok) {
				cw.Close()
				cw, controls, controlsOpened = nil, nil, nil
			}
		case <-tick.C:
			f.look()
			if cw == nil && f.controlDue() && f.lookControl() == nil {
				cw, controlsOpened = f.followControl()
			}
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
	}
}

func (f *feed) followRecords(listed *clientv3.Listing) *follow.Opening {
	return follow.Open(f.ctx, f.cluster.client, f.prefix, clientv3.WithPrefix(), clientv3.WithListing(listed))
}

var errWatchEnded = errors.New("discovery: the watch has ended")

// take applies what was received from the watch.
func (f *feed) take(r *clientv3.WatchResponse, ok bool) error {
	if !ok {
		return errWatchEnded
	}
	if err := r.Err(); err != nil {
		return err
	}
	apart(func() { f.apply(r) })
	return nil
}

// apply takes one response of the watch.
func (f *feed) apply(r *clientv3.WatchResponse) {
	f.arrive()
	c := f.begin()
	f.guard.saw(r.Header.GetRaftTerm(), c.now)
	if len(r.Events) > 0 {
		for _, ev := range r.Events {
			key := string(ev.Kv.Key)
			if ev.Type == clientv3.EventTypeDelete {
				c.remove(key)
			} else if in := f.decode(ev.Kv); in != nil {
				c.put(key, in)
			} else {
				c.remove(key) // a bad record replaced a good one
			}
		}
		c.publish(follow.Reached(r), false)
	}
	f.confirmed()
}

// leave notes that no member answers.
func (f *feed) leave() {
	if f.away.IsZero() {
		f.away = time.Now()
	}
	f.setStale(true)
}

// arrive notes that a member answers. After an absence of less than half a TTL no instance is lost
// whose process reaches etcd as well as this one; after a longer one, leases may have ended while
// their owners live.
func (f *feed) arrive() {
	if now := time.Now(); !f.away.IsZero() {
		if now.Sub(f.away) >= f.guard.hold/2 {
			f.guard.back(now)
		}
		f.away = time.Time{}
	}
}

// confirmed notes that the view is right now, except for held instances.
func (f *feed) confirmed() {
	if f.guard.count[held] == 0 {
		f.asOf.Store(int64(time.Since(f.epoch)))
	}
	f.setStale(f.guard.count[held] > 0)
}

// look does the regular work.
func (f *feed) look() {
	reachable := f.cluster.reachable()
	if reachable {
		f.arrive()
		defer f.confirmed()
	} else {
		f.leave()
	}
	if f.guard.ripe(time.Now()) {
		apart(f.askTerm)
	}
	if due := f.guard.due(time.Now()); len(due) > 0 {
		c := f.begin()
		for _, key := range due {
			c.release(key)
		}
		c.publish(f.view.Load().revision, !reachable)
	}
	if f.store.due() {
		apart(func() { f.store.save(f) })
	}
}

// askTerm asks whether there is a leader, and which, before instances go that may register again:
// no record can be put without one, and their owners need a moment once there is one. The question
// ends before the next look.
func (f *feed) askTerm() {
	ctx, cancel := context.WithTimeout(f.ctx, follow.LookEvery)
	defer cancel()
	r, err := f.cluster.client.Get(ctx, f.prefix)
	if err != nil || f.guard.leaderless {
		f.guard.wait(time.Now(), electedHold)
	}
	if f.guard.leaderless = err != nil; err == nil {
		f.guard.saw(r.Header.GetRaftTerm(), time.Now())
	}
}

// age returns how long ago the view was last known to be right.
func (f *feed) age() time.Duration { return time.Since(f.epoch) - time.Duration(f.asOf.Load()) }

func (f *feed) setStale(stale bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale == stale || f.view.Load() == nil {
		return
	}
	f.stale = stale
	f.pokeLocked()
}

// poke wakes all subscriptions.
func (f *feed) poke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pokeLocked()
}

func (f *feed) pokeLocked() {
	for t := range f.subs {
		t.s.poke()
	}
}

// end ends all subscriptions.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.stale = true, true // it is no longer kept right
	for t := range f.subs {
		t.s.finish()
	}
}
