package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"

	"github.com/fairlead-go/fairlead/chaos/check"
	"github.com/fairlead-go/fairlead/chaos/history"
	"github.com/fairlead-go/fairlead/chaos/schedule"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	members = 3
	// workers and think, the mean time between two calls of one. There are many workers, so that
	// each fault catches several writes under way. Some 200 calls a second in all leave the
	// servers enough of two cores.
	workers = 8
	think   = 30 * time.Millisecond
	// holders is how many leases each lease client holds.
	holders = 5
	// tokenTTL is the server's, in seconds: shorter than most faults.
	tokenTTL = 4
	// tail is how long the clients go on after everything is healed. It is longer than a call,
	// since a write that was under way when the leader died may wait for its context to end.
	tail = longest + time.Second
	// testMax is how much longer they go on until each has shown whether it works again: on a busy
	// machine one may have made only writes until then.
	testMax = time.Minute
	// deliverTimeout is how long watches may take to deliver the last event.
	deliverTimeout = 15 * time.Second
	// closeMax is the longest that closing a client may take, on any machine.
	closeMax = 10 * time.Second
	// leakGrace is how long goroutines may take to end after Close: they may be in the middle of a
	// last call.
	leakGrace = 5 * time.Second
	// linearLimit bounds the search per key.
	linearLimit = 30 * time.Second
)

// result is the result of a run.
type result struct {
	history    history.History
	violations []check.Violation
	trouble    []error // of the harness itself: the run proved nothing
	struck     map[schedule.Kind]int
	refused    map[schedule.Kind]int

	judged
	deadline     check.DeadlineReport
	restored     check.RestoredReport
	updates      int  // of instances
	settled      bool // the last view equals what is stored
	copied       int  // reads that a cache answered
	comparisons  int64
	closes       []time.Duration
	failedGrants int
	failedOwners int
	healed       time.Duration
	checking     time.Duration
	diary        []entry
}

// crew is everything that runs against the cluster.
type crew struct {
	workers  []*worker
	watchers []*watcher
	holders  []*holder
	owners   []*contender
	copier   copier
	provide  []*provider
	look     *looker
	clients  []*clientv3.Client // all except those of workers

	unlook    context.CancelFunc
	looking   sync.WaitGroup
	whole     atomic.Bool // watches have nothing more to deliver
	unwatch   context.CancelFunc
	following sync.WaitGroup
}

// run is one run of the chaos test.
func run(seed uint64, length time.Duration, faults []schedule.Fault) (r *result, err error) {
	c, err := etcdtest.StartMain(etcdtest.Options{Members: members, Proxied: true, PeerProxied: true, Args: []string{
		fmt.Sprintf("--auth-token-ttl=%d", tokenTTL),
		"--bcrypt-cost=4", // logins are frequent here and must not cost a core
	}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	clock := history.NewClock()
	r = &result{}
	a, err := newAdmin(c)
	if err != nil {
		return nil, err
	}
	ectx, done := context.WithTimeout(context.Background(), 10*time.Second)
	err = a.enable(ectx)
	done()
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	rec := newRecorder(a, clock)
	d := &diary{clock: clock, acks: make(map[int64]time.Duration), ended: make(map[int64]bool)}

	// Observers outlive everything else.
	octx, stopObserving := context.WithCancel(context.Background())
	defer stopObserving()
	var observers sync.WaitGroup
	probes := make([][]history.Probe, members)
	rec.begin()
	for m := range members {
		observers.Go(func() { probes[m] = rec.probe(octx, m) })
	}
	observers.Go(func() { r.history.Lateness = lateness(octx, clock) })

	s := &striker{
		cluster: c, admin: a, rec: rec, clock: clock,
		counts: make(map[schedule.Kind]int), refused: make(map[schedule.Kind]int),
	}
	crew, err := assemble(c.Endpoints(), seed, clock, rec, d)
	if err == nil {
		r.play(crew, s, faults, length)
		r.finish(crew, a, rec)
	} else {
		r.trouble = append(r.trouble, err)
	}
	r.disband(crew)
	rec.end()
	stopObserving()
	observers.Wait()
	r.trouble = append(r.trouble, a.close())
	r.violations = append(r.violations, check.Leaks(leakGrace)...)
	r.collect(crew, s, rec, probes, clock)
	for i := range r.history.Leases {
		l := &r.history.Leases[i]
		l.Ended = d.gone(l.ID)
	}
	r.diary = d.entries
	begin := time.Now()
	r.judge()
	r.trouble = append(r.trouble, r.least(length)...)
	r.checking = time.Since(begin)
	r.trouble = slices.DeleteFunc(r.trouble, func(e error) bool { return e == nil })
	return r, nil
}

// assemble makes the clients while the cluster is whole.
func assemble(endpoints []string, seed uint64, clock history.Clock, rec *recorder, d *diary) (*crew, error) {
	c := &crew{}
	random := func(id int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(id))) }
	for id := 1; id <= workers; id++ {
		c.workers = append(c.workers, &worker{
			id: id, endpoints: endpoints, clock: clock, diary: d, rnd: random(id), think: think,
			reopen: time.Duration(10+3*id) * time.Second, // not all at once
		})
	}
	client := func(number int) (*clientv3.Client, error) {
		cl, err := dial(endpoints, d.hooks(number))
		if err == nil {
			c.clients = append(c.clients, cl)
		}
		return cl, err
	}
	id := 10
	for _, scopes := range [][]watcher{
		{{scope: kvScope}, {scope: space}, {scope: kvScope + "3"}, {scope: kvScope, short: true}, {scope: idleScope}, {
			scope: kvScope, now: true,
		}},
		{{scope: kvScope, slow: 300 * time.Millisecond}, {
			scope: leaseScope,
		}, {scope: space, short: true}, {scope: kvScope + "0", short: true}, {scope: space, now: true}},
		{{scope: idleScope}}, // a client that does nothing else, so that its token expires
	} {
		number := id
		cl, err := client(number)
		if err != nil {
			return c, err
		}
		for i := range scopes {
			c.watchers = append(c.watchers, &watcher{
				id: id, client: number, cli: cl, clock: clock, rec: rec, rnd: random(id),
				scope: scopes[i].scope, short: scopes[i].short, now: scopes[i].now, slow: scopes[i].slow,
			})
			id++
		}
	}
	for range 2 {
		number := id
		cl, err := client(number)
		if err != nil {
			return c, err
		}
		for range holders {
			c.holders = append(c.holders, &holder{id: id, client: number, cli: cl, clock: clock, rnd: random(id)})
			id++
		}
	}
	var err error
	if c.copier.cli, err = client(id); err != nil {
		return c, err
	}
	id++
	for range registrars {
		cl, err := client(id)
		if err != nil {
			return c, err
		}
		c.provide = append(c.provide, newProvider(id, cl, random(id)))
		id++
	}
	cl, err := client(id)
	if err != nil {
		return c, err
	}
	c.look = &looker{directory: discovery.NewDirectory(cl, discovery.WithFormat(record)), clock: clock}
	id++
	for range 3 {
		number := id
		cl, err := client(number)
		if err != nil {
			return c, err
		}
		for _, scope := range contests {
			c.owners = append(c.owners,
				&contender{id: id, client: number, scope: scope, cli: cl, clock: clock, diary: d, rnd: random(id)})
			id++
		}
	}
	return c, nil
}

// play runs the workload and the faults, heals, and lets the workload go on for a while.
// Watches are left open for finish.
func (r *result) play(c *crew, s *striker, faults []schedule.Fault, length time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var busy, striking sync.WaitGroup
	for _, w := range c.workers {
		busy.Go(func() { w.run(ctx) })
	}
	for _, h := range c.holders {
		busy.Go(func() { h.run(ctx) })
	}
	for _, o := range c.owners {
		busy.Go(func() { o.run(ctx) })
	}
	for _, p := range c.provide {
		busy.Go(func() { p.run(ctx) })
	}
	c.follow()
	c.copier.start()
	// The schedule counts from here.
	begin := s.clock.Now()
	s.stopAt = begin + length - schedule.Calm
	faults = slices.Clone(faults)
	for i := range faults {
		faults[i].At += begin
	}
	striking.Go(func() { s.run(ctx, faults) })
	pause(ctx, length)
	striking.Wait()
	r.trouble = append(r.trouble, s.heal(ctx))
	if b := s.restored; b != nil {
		pause(ctx, b.Settled-s.clock.Now())
	}
	s.makeUp(ctx)
	r.healed = s.clock.Now()
	for _, w := range c.workers {
		w.after.healed.Store(true)
	}
	pause(ctx, tail)
	for end := s.clock.Now() + testMax; s.clock.Now() < end && !c.tested(); {
		pause(ctx, 100*time.Millisecond)
	}
	stop()
	busy.Wait()
}

// tested reports whether each worker has shown that it works again or that it does not.
func (c *crew) tested() bool {
	return !slices.ContainsFunc(c.workers, func(w *worker) bool { return !w.after.tested() })
}

// follow starts the watchers.
func (c *crew) follow() {
	var ctx context.Context
	ctx, c.unwatch = context.WithCancel(context.Background())
	for _, w := range c.watchers {
		c.following.Go(func() { w.run(ctx, &c.whole) })
	}
	var lctx context.Context
	lctx, c.unlook = context.WithCancel(context.Background())
	c.looking.Go(func() { c.look.run(lctx) })
}

// finish writes a last event into every scope and waits until the watches have delivered it and
// the recorder has seen everything up to it.
func (r *result) finish(c *crew, a *admin, rec *recorder) {
	defer c.following.Wait()
	defer c.unwatch()
	ctx, done := context.WithTimeout(context.Background(), deliverTimeout)
	defer done()
	last := make(map[string]int64) // revision of the last event by key
	for _, w := range c.watchers {
		key := w.scope
		if key[len(key)-1] == '/' {
			key += "end"
		}
		if last[key] != 0 {
			continue
		}
		err := a.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
			p, err := pb.NewKVClient(cc).Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("the end")})
			if err == nil {
				last[key] = p.Header.Revision
			}
			return err
		})
		if err != nil {
			r.trouble = append(r.trouble, fmt.Errorf("the last write: %w", err))
			return
		}
		r.history.Final = last[key]
	}
	final := func(scope string) (rev int64) {
		for key, r := range last {
			if history.Covers(scope, key) {
				rev = max(rev, r)
			}
		}
		return rev
	}
	for c.copier.reached.Load() < final(kvScope) && ctx.Err() == nil {
		pause(ctx, 10*time.Millisecond)
	}
	c.copier.close()
	for ctx.Err() == nil {
		stored, err := a.instances(ctx)
		if err == nil && len(stored) == registrars*instances && c.look.shows(stored) {
			r.settled = true
			break
		}
		pause(ctx, 100*time.Millisecond)
	}
	c.unlook()
	c.looking.Wait()
	for _, w := range c.watchers {
		target := final(w.scope)
		for !w.short && w.reached.Load() < target && ctx.Err() == nil {
			pause(ctx, 10*time.Millisecond)
		}
	}
	c.whole.Store(true)
	c.unwatch()
	c.following.Wait()
	rctx, stop := context.WithTimeout(context.Background(), deliverTimeout)
	defer stop()
	rev, err := a.revision(rctx)
	r.trouble = append(r.trouble, err, rec.await(rctx, rev))
}

// disband closes the clients.
func (r *result) disband(c *crew) {
	c.copier.close()
	if c.unlook != nil {
		c.unlook()
		c.looking.Wait()
	}
	for _, p := range c.provide {
		r.closed("a registrar", p.registrar.Close())
	}
	if c.look != nil {
		r.closed("a directory", c.look.directory.Close())
	}
	for _, cl := range c.clients {
		begin := time.Now()
		r.closed("a client", cl.Close())
		r.closes = append(r.closes, time.Since(begin))
	}
	for _, w := range c.workers {
		r.closes = append(r.closes, w.closes...)
		for _, err := range w.errs {
			r.violations = append(r.violations, check.Violation{Check: "close", Text: err.Error()})
		}
	}
	if d := slices.Max(append(r.closes, 0)); d > closeMax {
		r.violations = append(r.violations,
			check.Violation{Check: "close", Text: fmt.Sprintf("closing a client took %v", d)})
	}
}

func (r *result) closed(what string, err error) {
	if err != nil {
		r.violations = append(r.violations, check.Violation{Check: "close", Text: what + ": " + err.Error()})
	}
}

// collect assembles the history.
func (r *result) collect(c *crew, s *striker, rec *recorder, probes [][]history.Probe, clock history.Clock) {
	h := &r.history
	h.End = clock.Now()
	for _, w := range c.workers {
		h.Ops = append(h.Ops, w.ops...)
		r.copied += w.copied
		for _, u := range w.unopened {
			if err := u.tooLate(h.Lateness); err != nil {
				r.violations = append(r.violations, check.Violation{Check: "close", Text: err.Error()})
			}
		}
	}
	for _, p := range c.provide {
		r.updates += p.updates - p.failed
		for _, err := range p.errs {
			r.violations = append(r.violations, check.Violation{Check: "service", Text: err.Error()})
		}
	}
	if h.Views = c.look.views; len(c.look.errs) > 0 {
		r.violations = append(r.violations,
			check.Violation{Check: "service", Text: errors.Join(c.look.errs...).Error()})
	}
	r.comparisons = c.copier.comparisons
	if err := c.copier.err; err != nil {
		r.violations = append(r.violations, check.Violation{Check: "copy", Text: "the mirror ended: " + err.Error()})
	}
	for _, l := range c.holders {
		h.Ops, h.Leases = append(h.Ops, l.ops...), append(h.Leases, l.leases...)
		r.failedGrants += l.grants
	}
	for _, w := range c.watchers {
		h.Watches = append(h.Watches, w.watches...)
	}
	for _, o := range c.owners {
		h.Holds, h.Attempts = append(h.Holds, o.holds...), append(h.Attempts, o.tries...)
		r.failedOwners += o.failed
		for _, err := range o.errs {
			r.violations = append(r.violations, check.Violation{Check: "owner", Text: err.Error()})
		}
	}
	for _, p := range probes {
		h.Probes = append(h.Probes, p...)
	}
	slices.SortStableFunc(h.Ops, func(a, b history.Op) int { return int(a.Call - b.Call) })
	h.Touches, h.Compactions, h.Meddlings, h.Restore = s.touches, s.compactions, s.meddlings, s.restored
	r.struck, r.refused = s.counts, s.refused
	r.trouble = append(r.trouble, s.problems...)
	var differ []string
	h.Truth, differ = rec.truth()
	for _, d := range differ {
		r.violations = append(r.violations, check.Violation{Check: "truth", Text: "members disagree: " + d})
	}
	h.Attach()
}
