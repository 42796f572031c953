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
	in           atomic.Pointer[Instance] // as it is to be; never changed in place, replaced under the keeper's lock
}

// judge says what is to become of a record that is not as it is to be. Records are compared as
// others read them, since a format may lose or add something. It is called under the keeper's
// lock.
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

// Instance is what is registered at present.
func (g *Registration) Instance() Instance { return *g.in.Load().clone() }

// Key is where the record is in etcd.
func (g *Registration) Key() string { return g.key }

// Update changes the instance in place and returns when the record says so. Service and id
// are fixed. When ctx ends first, the change goes on in the background. Of concurrent updates
// none is lost: change is called again, with the newer instance, if another one came first.
func (g *Registration) Update(ctx context.Context, change func(in *Instance)) error {
	if change == nil {
		return invalid("the change of %s is nil", g.key)
	}
	for {
		was := g.in.Load()
		in := was.clone()
		change(in)
		in = in.clone() // the caller may keep what it put in
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

// errOvertaken is seen by nobody outside.
var errOvertaken = errors.New("discovery: another change came first")

// Close removes the record, if it is this registration's, and returns when it is gone. When
// ctx ends first, that goes on in the background; the lease does the rest.
func (g *Registration) Close(ctx context.Context) error { return g.kept.Close(ctx) }

// Closed reports whether Close was called, or Drain came so far, or the Registrar is closed: the
// record is not kept any more, though etcd may have it still.
func (g *Registration) Closed() bool { return g.kept.Closed() }

// withdraw removes the record while a check fails, and puts it back.
func (g *Registration) withdraw(hidden bool, why error) {
	if g.kept.Hide(hidden) && hidden {
		g.r.tell(keep.Withdrawn, g.key, g.in.Load(), why)
	}
}
