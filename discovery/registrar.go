package discovery

// A Registrar keeps the records of one process in etcd as they should be. Package internal/keep
// keeps the keys and the lease; this file adds what is special to instances: the record, and whose
// a found record is.

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery/internal/keep"
)

const (
	// DefaultTTL is how long, in seconds, a record stays after the death of its process.
	DefaultTTL = 10
	// DefaultWriteRate is how many records a registrar writes per second: when etcd comes back, ten
	// thousand processes need it at once.
	DefaultWriteRate = 1000
)

// retry is the wait between two tries while etcd does not answer.
var retry = keep.Retry

var (
	// ErrTaken is wrapped by the error of [Registrar.Register] when another process holds the id
	// with other addresses, and by that of [Registrar.Keep] when another process has the key with
	// another value.
	ErrTaken = keep.ErrTaken
	// ErrClosed is returned by a [Registration], [Registrar] or [Directory] that was closed.
	ErrClosed = keep.ErrClosed
)

// TakenError says which process has the id. It wraps [ErrTaken].
type TakenError struct {
	Key    string
	Holder *Instance // nil if its record makes no sense, or is that of a plain key
}

func (e *TakenError) Error() string {
	if e.Holder == nil { // a plain record, or one that makes no sense
		return fmt.Sprintf("%v: %s", ErrTaken, e.Key)
	}
	return fmt.Sprintf("%v: %s/%s is at %v", ErrTaken, e.Holder.Service, e.Holder.ID, e.Holder.Addresses)
}

// Unwrap returns [ErrTaken].
func (e *TakenError) Unwrap() error { return ErrTaken }

// EventKind says what happened to a registration or a kept key.
type EventKind string

const (
	Registered EventKind = "registered" // the record is there for the first time
	// the lease was not renewed in time or is over, or somebody deleted or replaced the record
	Lost      EventKind = "lost"
	Restored  EventKind = "restored"  // the record is there again, or has never gone
	Withdrawn EventKind = "withdrawn" // the check failed, the record was removed
	// the server does not allow the record (a permission, say); it is tried again every few seconds
	Refused EventKind = "refused"
	Taken   EventKind = "taken"   // another process has the key; it is registered again when that is gone
	Leaving EventKind = "leaving" // its Drain has begun
	Left    EventKind = "left"    // its Drain is over; Err says why if it was not as it should be
)

// Event is the argument of the function of [WithEvents].
type Event struct {
	Kind     EventKind
	Key      string
	Instance *Instance // nil for a plain key, see Keep
	Err      error     // why, if known
	// Took is how long the drain took; only with [Left].
	Took time.Duration
}

// Registrar registers the instances of one process, and keeps its plain keys, under one lease of
// its own. It is safe for concurrent use. [NewRegistrar] makes one; [Registrar.Close] ends it.
type Registrar struct {
	client *clientv3.Client
	format Format
	ttl    int64
	events func(Event)
	rate   int
	keeper *keep.Keeper // nil if err is not
	err    error        // an argument or option makes no sense
	// serving is how long a draining instance goes on serving at least.
	serving time.Duration
}

// WithTTL sets the time to live of the lease, in seconds, 1 to [clientv3.MaxLeaseTTL]; the default
// is [DefaultTTL].
func WithTTL(seconds int64) RegistrarOption {
	return registrarOption(func(r *Registrar) {
		if seconds < 1 {
			r.refuse("a TTL of %d s", seconds)
		}
		r.ttl = seconds
	})
}

// WithEvents sets a function that is called for each event of the registrations. It is called from
// several goroutines and must return soon.
func WithEvents(f func(Event)) RegistrarOption {
	return registrarOption(func(r *Registrar) { r.events = f })
}

// WithWriteRate sets how many records are written per second, 1 or more; the default is
// [DefaultWriteRate].
func WithWriteRate(perSecond int) RegistrarOption {
	return registrarOption(func(r *Registrar) {
		if perSecond < 1 {
			r.refuse("%d writes per second", perSecond)
		}
		r.rate = perSecond
	})
}

// NewRegistrar makes a Registrar; it does nothing until the first [Registrar.Register] or
// [Registrar.Keep]. For an invalid client or option, these return an error that wraps [ErrInvalid].
func NewRegistrar(client *clientv3.Client, opts ...RegistrarOption) *Registrar {
	r := &Registrar{client: client, format: JSON{}, ttl: DefaultTTL, rate: DefaultWriteRate}
	for _, o := range opts {
		if o == nil {
			r.refuse("an option is nil")
			continue
		}
		o.registrar(r)
	}
	if client == nil {
		r.refuse("the client is nil")
	}
	if r.err != nil {
		return r
	}
	r.keeper = keep.New(client, r.ttl, r.rate)
	return r
}

// refuse notes an invalid argument; the first one becomes the error.
func (r *Registrar) refuse(format string, args ...any) {
	if r.err == nil {
		r.err = invalid("registrar: "+format, args...)
	}
}

// Register puts the instance's record and keeps it there until [Registration.Close]: after a lost
// lease, an outage of etcd, a deletion by another client, a restored backup. It returns when the
// record is there. It fails with an error that wraps [ErrTaken] when another process holds the id
// with other addresses; a record with the same addresses counts as an earlier run of this process,
// and is taken over. If the server refuses the record for good, for want of a permission say,
// Register fails at once. When ctx ends first, nothing is registered; the error wraps the context's
// and says what etcd answered.
func (r *Registrar) Register(ctx context.Context, in Instance) (*Registration, error) {
	if r.err != nil {
		return nil, r.err
	}
	g := &Registration{r: r}
	own := in.clone()
	value, err := r.encode(own)
	if err != nil {
		return nil, err
	}
	g.key, g.service = r.format.Key(own), own.Service
	g.in.Store(own)
	g.kept, err = r.keeper.Keep(ctx, keep.Spec{
		Key: g.key, Value: value, Crowd: r.format.Prefix(own.Service), Judge: g.judge,
		Notify: func(kind keep.Kind, err error) { r.notify(kind, g.key, g.in.Load(), err) },
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// encode returns the record of a valid instance.
func (r *Registrar) encode(in *Instance) ([]byte, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	value, err := r.format.Marshal(in)
	if err != nil {
		return nil, err
	}
	if len(value) > maxRecord {
		return nil, invalid("the record of %s/%s has %d bytes, more than %d", in.Service, in.ID, len(value), maxRecord)
	}
	// A format may lose fields, but it has to read its own records.
	if _, err := r.format.Unmarshal(in.Service, r.format.Key(in), value); err != nil {
		return nil, invalid("%s/%s in this format: %v", in.Service, in.ID, err)
	}
	return value, nil
}

// Lease returns the present lease of the records; [clientv3.NoLease] while there is none, or while
// it may have ended because etcd does not answer. After etcd has expired it, the records get
// another one. Keys that a program itself puts under it stay its own: they go with the lease.
func (r *Registrar) Lease() clientv3.LeaseID {
	if r.keeper == nil {
		return clientv3.NoLease
	}
	return r.keeper.Lease()
}

func (r *Registrar) notify(kind keep.Kind, key string, in *Instance, err error) {
	r.event(Event{Kind: EventKind(kind), Key: key, Instance: in, Err: err})
}

func (r *Registrar) event(e Event) {
	if r.events != nil {
		r.events(e)
	}
}

// Close removes all records at once, revokes the lease and ends the registrar and all its
// registrations. It takes 3 s at most: records that could not be removed by then go with the lease.
func (r *Registrar) Close() error {
	if r.keeper == nil {
		return nil
	}
	return r.keeper.Close()
}
