package discovery

// A Registrar keeps the records of one process in etcd as they should be. One goroutine
// (run) has the lease: it is granted when there is something to register, kept alive, and
// granted anew when it is lost; then everything is written again. A second one (write)
// takes registrations whose record is not known to be right, a few at a time, and settles
// each with transactions (settle.go). A third one (watch) watches the range of the own keys
// and makes what somebody changed dirty again. There is no goroutine per registration.
//
// All state is guarded by Registrar.mu. A registration is in the queue at most once, and
// settled by one goroutine at a time (busy); what happens meanwhile makes it dirty again.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// DefaultTTL is how long, in seconds, a record stays after its process died.
	DefaultTTL = 10
	// DefaultWriteRate is how many records a registrar writes per second: when etcd comes
	// back, ten thousand processes want it at once.
	DefaultWriteRate = 1000
	// writeBurst records are written without a delay.
	writeBurst = 100
	// writers is how many records are written at a time.
	writers = 8
	// writeTry bounds one request, grantTry that for the lease.
	writeTry = 2 * time.Second
	grantTry = 3 * time.Second
	// herdRate is how many processes are to register per second after an outage that all
	// have seen: etcd does several times that, and it has other work then. Each counts the
	// records of its services, every countEvery, and draws its turn from that.
	herdRate   = 1000
	countEvery = time.Minute
	// refusedEvery is when what was refused is tried again: somebody has to grant a permission.
	refusedEvery = 5 * time.Second
	// closeTry bounds the removal of records when a registrar is closed.
	closeTry = 3 * time.Second
)

// retry is between two tries while etcd does not answer: short, for a record is to be back
// within a second.
var retry = backoff.Policy{Base: 50 * time.Millisecond, Max: 400 * time.Millisecond}

var (
	// ErrTaken is wrapped by the error of Register when another process holds the id with
	// other addresses.
	ErrTaken = errors.New("discovery: the id is taken")
	// ErrClosed is returned by a registration, registrar or directory that was closed.
	ErrClosed = errors.New("discovery: closed")
)

// TakenError says who has the id.
type TakenError struct {
	Key    string
	Holder *Instance // nil if its record makes no sense, or is none of an instance
}

func (e *TakenError) Error() string {
	if e.Holder == nil { // a plain record, or one that makes no sense
		return fmt.Sprintf("%v: %s", ErrTaken, e.Key)
	}
	return fmt.Sprintf("%v: %s/%s is at %v", ErrTaken, e.Holder.Service, e.Holder.ID, e.Holder.Addresses)
}

// Unwrap returns ErrTaken.
func (e *TakenError) Unwrap() error { return ErrTaken }

// EventKind says what happened to a registration.
type EventKind string

const (
	Registered EventKind = "registered" // the record is there for the first time
	Lost       EventKind = "lost"       // the lease was lost, or somebody deleted or replaced the record
	Restored   EventKind = "restored"   // the record is there again
	Withdrawn  EventKind = "withdrawn"  // the check failed, the record was removed
	Drained    EventKind = "drained"    // an operator set the record to draining, see Drain; it stays so
	Refused    EventKind = "refused"    // the server does not allow the record (a permission, say); it is tried again every few seconds
	Taken      EventKind = "taken"      // another process has the key; it is registered again when that is gone
)

// Event is told to the function of WithEvents.
type Event struct {
	Kind     EventKind
	Instance *Instance
	Err      error // why, if known
}

// Registrar registers the instances of one process, under one lease of its own. It is safe
// for concurrent use.
type Registrar struct {
	client  *clientv3.Client
	format  Format
	ttl     int64
	events  func(Event)
	limiter *rate.Limiter
	group   *worker.Group
	slots   chan struct{} // bounds writers
	work    chan struct{} // there may be something to write
	need    chan struct{} // the first registration came, or the last went

	mu     sync.Mutex
	closed bool
	lease  clientv3.LeaseID          // 0: none
	why    error                     // why there is none, if known
	former map[clientv3.LeaseID]bool // leases of this registrar that were lost
	regs   map[string]*Registration  // by key; also those that are to be removed
	// lost is the last lease if the server may have it though it was lost; 0: none. remains are the
	// keys of records under it whose registrations were closed since.
	lost    clientv3.LeaseID
	remains map[string]struct{}
	dirty   []*Registration // to be settled
	others  int64           // records of the services registered here, when last counted
	low     string          // the range of all keys since the lease was granted, low to high
	high    string
	wider   chan struct{} // closed and replaced when the range changes
}

// RegistrarOption changes a Registrar.
type RegistrarOption func(*Registrar)

// WithFormat sets how records are stored; JSON{} is the default.
func WithFormat(f Format) RegistrarOption { return func(r *Registrar) { r.format = f } }

// WithTTL sets the time to live of the lease, in seconds; DefaultTTL if not positive.
func WithTTL(seconds int64) RegistrarOption {
	return func(r *Registrar) {
		if seconds > 0 {
			r.ttl = seconds
		}
	}
}

// WithEvents sets a function that is told what happens to registrations. It is called from
// several goroutines and must return soon.
func WithEvents(f func(Event)) RegistrarOption { return func(r *Registrar) { r.events = f } }

// WithWriteRate sets how many records are written per second; DefaultWriteRate if not
// positive.
func WithWriteRate(perSecond int) RegistrarOption {
	return func(r *Registrar) {
		if perSecond > 0 {
			r.limiter = rate.NewLimiter(rate.Limit(perSecond), min(writeBurst, perSecond))
		}
	}
}

// NewRegistrar makes a Registrar; it does nothing until the first Register.
func NewRegistrar(client *clientv3.Client, opts ...RegistrarOption) *Registrar {
	r := &Registrar{
		client: client, format: JSON{}, ttl: DefaultTTL, limiter: rate.NewLimiter(DefaultWriteRate, writeBurst),
		group: worker.New(client.Ctx()), slots: make(chan struct{}, writers), work: make(chan struct{}, 1),
		need: make(chan struct{}, 1), wider: make(chan struct{}), former: make(map[clientv3.LeaseID]bool), remains: make(map[string]struct{}),
		regs: make(map[string]*Registration),
	}
	for _, o := range opts {
		o(r)
	}
	r.group.Go(r.run)
	r.group.Go(r.write)
	return r
}

// Register puts the instance's record and keeps it there until the Registration is closed:
// after a lost lease, an outage of etcd, a deletion by somebody else, a restored backup. It
// returns when the record is there. It fails with an error that wraps ErrTaken when another
// process holds the id with other addresses; one with the same addresses is taken for an
// earlier run of this process, and its record is taken over. What the server refuses for
// good, for want of a permission say, fails at once. When ctx ends first, nothing is
// registered; the error wraps the context's and says what etcd answered.
func (r *Registrar) Register(ctx context.Context, in Instance) (*Registration, error) {
	g := &Registration{r: r}
	if err := g.set(&in); err != nil {
		return nil, err
	}
	return r.begin(ctx, g)
}

// Keep is Register for a record of any kind: it puts a key and keeps it there. Another
// process's record of the same value is taken for one of an earlier run of this process.
func (r *Registrar) Keep(ctx context.Context, key, value string) (*Registration, error) {
	if key == "" {
		return nil, invalid("the key is empty")
	}
	g := &Registration{r: r, plain: true, key: key, value: []byte(value), in: &Instance{ID: key}}
	return r.begin(ctx, g)
}

// Lease is the lease of the records at present; clientv3.NoLease while there is none. After
// a loss it is another one.
func (r *Registrar) Lease() clientv3.LeaseID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lease
}

// begin takes a registration in and waits until its record is there.
func (r *Registrar) begin(ctx context.Context, g *Registration) (*Registration, error) {
	done, err := r.add(g)
	if err != nil {
		return nil, err
	}
	select {
	case err = <-done:
	case <-ctx.Done():
		err = r.late(ctx, g)
	case <-r.group.Context().Done():
		err = ErrClosed
	}
	if err != nil {
		r.abandon(g)
		return nil, err
	}
	return g, nil
}

// add takes a registration in; the channel gets the outcome of its first writing.
func (r *Registrar) add(g *Registration) (<-chan error, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	if old := r.regs[g.key]; old != nil {
		if !old.gone {
			return nil, fmt.Errorf("%w: %s is registered here already", ErrTaken, g.key)
		}
		// It takes up what is known of the key, and whose removal was not certain.
		g.mod, g.lease = old.mod, old.lease
		old.replaced = true
	}
	done := g.expect()
	r.regs[g.key] = g
	r.cover(g.key)
	r.enqueue(g)
	signal(r.need)
	return done, nil
}

// enqueue makes a registration dirty; the caller holds mu.
func (r *Registrar) enqueue(g *Registration) {
	g.dirty = true
	if !g.queued && !g.busy {
		g.queued = true
		r.dirty = append(r.dirty, g)
	}
	signal(r.work)
}

// signal wakes whoever waits on a channel with room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *Registrar) tell(kind EventKind, in *Instance, err error) {
	if r.events != nil {
		r.events(Event{Kind: kind, Instance: in, Err: err})
	}
}

// Close removes all records at once, revokes the lease and ends the registrar; every
// registration has ended then. It takes 3 s at most: what could not be removed by then
// goes with the lease.
func (r *Registrar) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	id, lost := r.lease, r.lost
	for _, g := range r.regs {
		g.gone = true
		g.told(ErrClosed)
	}
	r.mu.Unlock()
	r.group.Stop()
	if id == 0 && lost == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.client.Ctx()), closeTry)
	defer cancel()
	if id == 0 { // it has probably expired
		_, _ = r.client.Revoke(ctx, lost)
		return nil
	}
	_, err := r.client.Revoke(ctx, id) // deletes the records too
	return err
}
