package discovery

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/fairlead-go/fairlead/discovery/internal/keep"
)

// Registration is one registered instance. Its methods are safe for concurrent use.
type Registration struct {
	r            *Registrar
	key, service string
	kept         *keep.Kept
	in           atomic.Pointer[Instance] // as intended; never changed in place, replaced under the keeper's lock
}

// judge says what becomes of a record that differs from the intended one. Records are compared as
// others read them, since a format may lose or add fields. It is called under the keeper's lock.
func (g *Registration) judge(f keep.Found) keep.Verdict {
	holder, err := g.r.format.Unmarshal(g.service, g.key, f.Value)
	if err != nil {
		holder = nil
	}
	if f.Ours {
		return keep.Verdict{}
	}
	if f.First && holder != nil {
		// The same addresses: an earlier run of this process.
		if own, err := g.r.format.Unmarshal(g.service, g.key, f.Own); err == nil &&
			slices.Equal(holder.Addresses, own.Addresses) {
			return keep.Verdict{}
		}
	}
	return keep.Verdict{Taken: &TakenError{Key: g.key, Holder: holder}}
}

// Instance returns the instance as registered at present.
func (g *Registration) Instance() Instance { return *g.in.Load().clone() }

// Key returns the record's key in etcd.
func (g *Registration) Key() string { return g.key }

// Update changes the instance in place and returns when etcd has the new record. Service and id are
// fixed. When ctx ends first, the change goes on in the background. No concurrent update is lost:
// change is called again, with the newer instance, if another update came first. An invalid result
// is an error that wraps [ErrInvalid], and nothing is changed.
func (g *Registration) Update(ctx context.Context, change func(in *Instance)) error {
	if change == nil {
		return invalid("the change of %s is nil", g.key)
	}
	for {
		was := g.in.Load()
		in := was.clone()
		change(in)
		in = in.clone() // the caller may keep references to its parts
		value, err := g.r.encode(in)
		if err != nil {
			return err
		}
		if key := g.r.format.Key(in); key != g.key {
			return invalid("%s cannot become %s: service and id are fixed", g.key, key)
		}
		err = g.kept.Set(ctx, func() ([]byte, error) {
			if !g.in.CompareAndSwap(was, in) {
				return nil, errOvertaken
			}
			return value, nil
		})
		if err != errOvertaken {
			return err
		}
	}
}

// errOvertaken never leaves this package.
var errOvertaken = errors.New("discovery: another change came first")

// Close removes the record, if it is this registration's, and returns when it is gone. When ctx
// ends first, the removal goes on in the background; at the latest the record goes with its lease.
// A second Close returns [ErrClosed].
func (g *Registration) Close(ctx context.Context) error { return g.kept.Close(ctx) }

// Closed reports whether [Registration.Close] was called, [Registration.Drain] has closed the
// registration, or the [Registrar] is closed: the record is no longer kept, though etcd may still
// have it.
func (g *Registration) Closed() bool { return g.kept.Closed() }

// withdraw removes the record while a check fails, and puts it back.
func (g *Registration) withdraw(hidden bool, why error) {
	if g.kept.Hide(hidden) && hidden {
		g.r.notify(keep.Withdrawn, g.key, g.in.Load(), why)
	}
}
