package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// LeastTTL is above the shortest TTL that etcd's servers grant.
	LeastTTL, DefaultTTL, MaxTTL = 5 * time.Second, 30 * time.Second, time.Hour
	// lookEvery is how often the agent looks for registrations that were not renewed.
	lookEvery = 500 * time.Millisecond
	// pausedFor is a gap between two looks that means that this process did not run: programs could
	// not renew.
	pausedFor = 5 * time.Second
)

// errUnknown: no such instance is registered through this agent.
var errUnknown = errors.New("agent: no such instance is registered here")

// book holds the registrations that programs make and renew.
//
// One of a few Registrars keeps each record, with a lease of about the program's TTL. The
// Registrars are never closed: when the agent ends, the records stay for that TTL, and an agent
// that is back by then takes them over. book.mu guards the maps and the fields of entries; the
// holder of an entry's turn changes its record in etcd.
type book struct {
	client *clientv3.Client
	format discovery.Format
	serve  time.Duration // a drain lasts at least as long
	state  *state        // nil: nothing is kept over a restart
	say    func(string)
	group  *worker.Group

	mu         sync.Mutex
	entries    map[identity]*entry
	registrars map[time.Duration]*discovery.Registrar
	most       int // entries
	renewed    bool
}

type identity struct{ service, id string }

type entry struct {
	turn   chan struct{} // holds one token: its holder changes the entry
	cancel context.CancelFunc
	ctx    context.Context // ends when the entry is gone

	// Guarded by book.mu.
	in      discovery.Instance // as its program declared it
	ttl     time.Duration
	renewal time.Time
	gone    bool

	reg   atomic.Pointer[discovery.Registration] // changed with the turn; nil while it is not in etcd
	lease time.Duration                          // guarded by the turn
}

func newBook(
	client *clientv3.Client,
	format discovery.Format,
	s *state,
	most int,
	serve time.Duration,
	say func(string),
) *book {
	return &book{client: client, format: format, serve: serve, state: s, say: say, most: most,
		entries: make(map[identity]*entry), registrars: make(map[time.Duration]*discovery.Registrar)}
}

// start takes over the registrations of the state file, and begins to look for instances that
// lapse.
func (b *book) start(ctx context.Context) {
	b.group = worker.New(ctx)
	now := time.Now()
	for _, r := range b.state.load(b.say) {
		// The record has outlived the agent by its TTL at most. A program that still runs gets the
		// TTL once more, since it could not renew.
		if ttl := r.ttl(); now.Sub(r.Renewed) <= 2*ttl && r.Instance.Validate() == nil {
			e := b.entry(r.Instance, ttl)
			b.entries[identity{e.in.Service, e.in.ID}] = e // nothing else has access yet
			<-e.turn
			b.group.Go(func(context.Context) { b.restore(e) })
		}
	}
	b.group.Go(b.look)
	b.group.Go(func(ctx context.Context) { b.state.run(ctx, b.records, b.say) })
}

// stop leaves the records in etcd, for the next agent.
func (b *book) stop() {
	b.group.Stop()
	b.state.save(b.records(), b.say)
	b.state.end()
}

func (b *book) restore(e *entry) {
	defer func() { e.turn <- struct{}{} }()
	if err := b.register(e.ctx, e, e.in, leaseFor(e.ttl)); err != nil && e.ctx.Err() == nil {
		b.say(fmt.Sprintf("%s/%s is not registered again: %v", e.in.Service, e.in.ID, err))
		b.drop(e)
	}
}

// leaseFor returns the next value from ttl up that is 5 s times a power of two: with few values
// there are few leases.
func leaseFor(ttl time.Duration) time.Duration {
	lease := LeastTTL
	for lease < ttl {
		lease *= 2
	}
	return lease
}

// registrar returns the Registrar for records with a lease.
func (b *book) registrar(lease time.Duration) *discovery.Registrar {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.registrars[lease]
	if r == nil {
		r = discovery.NewRegistrar(
			b.client,
			discovery.WithFormat(b.format),
			discovery.WithTTL(int64(lease/time.Second)),
			discovery.WithServing(b.serve),
		)
		b.registrars[lease] = r
	}
	return r
}

// register puts the record; the caller holds the turn.
func (b *book) register(ctx context.Context, e *entry, in discovery.Instance, lease time.Duration) error {
	reg, err := b.registrar(lease).Register(ctx, in)
	if err != nil {
		return err
	}
	e.reg.Store(reg)
	e.lease = lease
	return nil
}

// entry returns a new entry.
func (b *book) entry(in discovery.Instance, ttl time.Duration) *entry {
	e := &entry{turn: make(chan struct{}, 1), in: in, ttl: ttl, renewal: time.Now()}
	e.ctx, e.cancel = context.WithCancel(b.group.Context())
	e.turn <- struct{}{}
	return e
}

// drop forgets an entry.
func (b *book) drop(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropLocked(e)
}

func (b *book) dropLocked(e *entry) {
	if id := (identity{e.in.Service, e.in.ID}); b.entries[id] == e {
		delete(b.entries, id)
	}
	e.gone = true
	e.cancel()
	b.state.changed()
}

// take finds an entry and takes its turn; the caller gives the turn back.
func (b *book) take(ctx context.Context, id identity) (*entry, error) {
	for {
		b.mu.Lock()
		e := b.entries[id]
		b.mu.Unlock()
		if e == nil {
			return nil, errUnknown
		}
		select {
		case <-e.turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		b.mu.Lock()
		gone := e.gone
		b.mu.Unlock()
		if !gone {
			return e, nil
		}
		e.turn <- struct{}{}
	}
}

// put registers an instance, or changes and renews it, and returns when etcd has the record.
func (b *book) put(ctx context.Context, in discovery.Instance, ttl time.Duration) (created bool, err error) {
	id := identity{in.Service, in.ID}
	_, _ = b.renew(id, 0) // so that the instance does not lapse while etcd is away
	e, err := b.take(ctx, id)
	for errors.Is(err, errUnknown) {
		if err = b.reserve(in, ttl); err == nil {
			e, err = b.take(ctx, id)
		}
	}
	if err != nil {
		return false, err
	}
	defer func() { e.turn <- struct{}{} }()
	created = e.reg.Load() == nil
	if err := b.settle(ctx, e, in, ttl); err != nil {
		if e.reg.Load() == nil {
			b.drop(e)
		}
		return false, err
	}
	b.mu.Lock()
	e.in, e.ttl, e.renewal = in, ttl, time.Now()
	gone := e.gone
	b.mu.Unlock()
	if gone {
		return false, errUnknown // etcd took longer than the instance's TTL
	}
	return created, b.state.stored(ctx)
}

// reserve makes an entry for a new instance, if there is room.
func (b *book) reserve(in discovery.Instance, ttl time.Duration) error {
	id := identity{in.Service, in.ID}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries[id] != nil {
		return nil // another request was faster
	}
	if len(b.entries) >= b.most {
		return errFull
	}
	b.entries[id] = b.entry(in, ttl)
	return nil
}

var errFull = errors.New("agent: it has no room for more registrations")

// settle brings the record up to date; the caller holds the turn.
func (b *book) settle(ctx context.Context, e *entry, in discovery.Instance, ttl time.Duration) error {
	lease, reg := leaseFor(ttl), e.reg.Load()
	if reg == nil || reg.Closed() { // a drain that was cancelled at its end has closed it
		return b.register(ctx, e, in, lease)
	}
	if !same(reg.Instance(), in) {
		if err := reg.Update(ctx, func(i *discovery.Instance) {
			state := i.State // an operator may have set it
			*i = in
			i.State = state
		}); err != nil {
			return err
		}
	}
	if e.lease == lease {
		return nil
	}
	// The other registrar takes the record over, since it has the same addresses.
	if err := b.register(ctx, e, reg.Instance(), lease); err != nil {
		return err
	}
	return reg.Close(ctx)
}

// same reports whether two declarations are alike, apart from the state.
func same(x, y discovery.Instance) bool {
	x.State, y.State = "", ""
	return x.Equal(&y)
}

// renew gives an instance its whole TTL again, and more in addition.
func (b *book) renew(id identity, more time.Duration) (ttl time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[id]
	if e == nil {
		return 0, errUnknown
	}
	e.renewal = time.Now().Add(more)
	b.renewed = true
	return e.ttl, nil
}

// remove deletes an instance's record. A deletion that fails before ctx ends goes on in the
// background.
func (b *book) remove(ctx context.Context, id identity) error {
	e, err := b.take(ctx, id)
	if err != nil {
		return err
	}
	defer func() { e.turn <- struct{}{} }()
	b.drop(e)
	if reg := e.reg.Load(); reg != nil {
		if err := reg.Close(ctx); err != nil {
			return err
		}
	}
	return b.state.stored(ctx)
}

// drain marks an instance as draining, waits until its followers have seen that, for at most limit,
// and removes it. If ctx ends first, the instance stays, draining, until it lapses. If etcd refuses
// the mark, the instance stays as it was until it lapses.
func (b *book) drain(ctx context.Context, id identity, limit time.Duration) error {
	if _, err := b.renew(id, limit); err != nil {
		return err
	}
	e, err := b.take(ctx, id)
	if err != nil {
		return err
	}
	defer func() { e.turn <- struct{}{} }()
	if reg := e.reg.Load(); reg != nil && !reg.Closed() {
		if err = reg.Drain(ctx, limit); err != nil && !reg.Closed() {
			return err
		}
	}
	// A closed record goes, if not at once: etcd is asked again until it has deleted the record, or
	// the lease has ended.
	b.drop(e)
	return errors.Join(err, b.state.stored(ctx))
}

// look removes the instances that their programs have not renewed.
func (b *book) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		for _, over := range b.lapsed(now, now.Sub(last)) {
			b.say(over.why)
			b.group.Go(func(ctx context.Context) { b.clear(ctx, over.entry) })
		}
		last = now
	}
}

// lapse is an entry that has lapsed. A late request may be changing the entry, so why is written
// under the lock.
type lapse struct {
	entry *entry
	why   string
}

// lapsed forgets the entries that have lapsed, and returns them.
func (b *book) lapsed(now time.Time, gap time.Duration) (over []lapse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.renewed {
		b.renewed = false
		b.state.changed()
	}
	for _, e := range b.entries {
		if gap >= pausedFor {
			e.renewal = e.renewal.Add(gap)
		}
		if now.Sub(e.renewal) > e.ttl {
			why := fmt.Sprintf("%s/%s was not renewed for %v, and is removed", e.in.Service, e.in.ID, e.ttl)
			over = append(over, lapse{e, why})
		}
	}
	for _, l := range over {
		b.dropLocked(l.entry)
	}
	return over
}

// clear removes the record of an entry that is gone.
func (b *book) clear(ctx context.Context, e *entry) {
	select {
	case <-e.turn:
	case <-ctx.Done():
		return
	}
	defer func() { e.turn <- struct{}{} }()
	if reg := e.reg.Load(); reg != nil {
		_ = reg.Close(ctx) // fails only when the agent ends
	}
}

// records returns the registrations as the state file holds them.
func (b *book) records() []record {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]record, 0, len(b.entries))
	for _, id := range slices.SortedFunc(maps.Keys(b.entries), func(x, y identity) int {
		return slices.Compare([]string{x.service, x.id}, []string{y.service, y.id})
	}) {
		e := b.entries[id]
		in := e.in
		if reg := e.reg.Load(); reg != nil {
			in = reg.Instance() // draining, if an operator has set that
		}
		list = append(list, record{Instance: in, TTL: int64(e.ttl / time.Second), Renewed: e.renewal.UTC()})
	}
	return list
}

func (b *book) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries)
}
