package discovery

import (
	"context"
	"errors"
	"slices"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Registration is one registered instance. Its methods are safe for concurrent use.
type Registration struct {
	r   *Registrar
	key string

	// Guarded by r.mu.
	in       *Instance        // as it is to be, never changed in place; of a plain record only the key, as its ID
	wrote    *Instance        // what others read from the record that we wrote last; nil: none
	read     *Instance        // what others read from the record of in: a format may lose or add something
	plain    bool             // a record that is no instance: whoever put the same value was us
	value    []byte           // its record
	hidden   bool             // withdrawn by a check
	gone     bool             // closed: the record is to be removed
	replaced bool             // another registration has taken over the key
	dirty    bool             // the record is not known to be as it is to be
	queued   bool             // in Registrar.dirty
	busy     bool             // being settled
	there    bool             // the record is there, as far as known
	ever     bool             // it was there before
	taken    bool             // another process has the key
	refused  bool             // the server does not allow what is to be done; tried again now and then
	why      error            // of the last try that failed, if none has succeeded since
	verify   bool             // changes may have been missed: look before writing
	mod      int64            // mod revision of the record that we wrote last, 0 for none
	seen     int64            // the latest change that the watch has shown
	lease    clientv3.LeaseID // that record's
	waiting  []chan error     // who waits for the record to be right
}

// holder says who put a record that is not ours, and whether that was an earlier run of
// this process.
func (g *Registration) holder(want goal, value []byte) (holder *Instance, restart bool) {
	if g.plain {
		return nil, string(value) == string(want.value)
	}
	holder, err := g.r.format.Unmarshal(want.in.Service, g.key, value)
	if err != nil {
		return nil, false
	}
	return holder, slices.Equal(holder.Addresses, want.read.Addresses)
}

// drainedAs reports whether a record is the one that we wrote but for the state: an operator
// drains us. What is to be written may be another one by now. The caller holds r.mu.
func (g *Registration) drainedAs(record *Instance) bool {
	if record == nil || !record.IsDraining() || g.in.IsDraining() {
		return false
	}
	same := g.read
	if g.wrote != nil {
		same = g.wrote
	}
	same = same.clone()
	same.State = record.State
	return same.Equal(record)
}

// set takes an instance as the one to register.
func (g *Registration) set(in *Instance) error {
	if err := in.Validate(); err != nil {
		return err
	}
	in = in.clone()
	value, err := g.r.format.Marshal(in)
	if err != nil {
		return err
	}
	if len(value) > maxRecord {
		return invalid("the record of %s/%s has %d bytes, more than %d", in.Service, in.ID, len(value), maxRecord)
	}
	key := g.r.format.Key(in)
	if g.key != "" && g.key != key {
		return invalid("%s cannot become %s: service and id are fixed", g.key, key)
	}
	// What a format cannot carry is lost, but it has to read what it writes.
	read, err := g.r.format.Unmarshal(in.Service, key, value)
	if err != nil {
		return invalid("%s/%s in this format: %v", in.Service, in.ID, err)
	}
	if g.key == "" { // later it is read without the lock
		g.key = key
	}
	g.in, g.read, g.value = in, read, value
	return nil
}

// expect returns a channel that gets the outcome of the next settling; the caller holds
// r.mu or is alone.
func (g *Registration) expect() <-chan error {
	done := make(chan error, 1)
	g.waiting = append(g.waiting, done)
	return done
}

// told answers those who wait; the caller holds r.mu.
func (g *Registration) told(err error) {
	for _, w := range g.waiting {
		w <- err
	}
	g.waiting = nil
}

// Instance is what is registered at present.
func (g *Registration) Instance() Instance {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	return *g.in.clone()
}

// Key is where the record is in etcd.
func (g *Registration) Key() string { return g.key }

// Update changes the instance in place and returns when the record says so. Service and id
// are fixed. When ctx ends first, the change goes on in the background. Of concurrent updates
// none is lost: change is called again, with the newer instance, if another one came first.
func (g *Registration) Update(ctx context.Context, change func(in *Instance)) error {
	if g.plain {
		return errPlain
	}
	for {
		g.r.mu.Lock()
		was := g.in
		g.r.mu.Unlock()
		in := was.clone()
		change(in)
		err := g.settle(ctx, func() error {
			if g.in != was {
				return errOvertaken
			}
			return g.set(in)
		})
		if err != errOvertaken {
			return err
		}
	}
}

// UpdateValue changes the value of a plain record, as Update an instance.
func (g *Registration) UpdateValue(ctx context.Context, value string) error {
	if !g.plain {
		return errNotPlain
	}
	return g.settle(ctx, func() error { g.value = []byte(value); return nil })
}

var (
	errPlain    = errors.New("discovery: a plain record is changed by UpdateValue")
	errNotPlain = errors.New("discovery: an instance is changed by Update")
	// errOvertaken is seen by nobody outside.
	errOvertaken = errors.New("discovery: another change came first")
)

// settle changes what is to be, under the lock, and waits until it is.
func (g *Registration) settle(ctx context.Context, change func() error) error {
	r := g.r
	r.mu.Lock()
	if g.gone || r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	if err := change(); err != nil {
		r.mu.Unlock()
		return err
	}
	done := g.expect()
	r.enqueue(g)
	r.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return r.late(ctx, g)
	case <-r.group.Context().Done():
		return ErrClosed
	}
}

// Close removes the record, if it is this registration's, and returns when it is gone. When
// ctx ends first, that goes on in the background; the lease does the rest.
func (g *Registration) Close(ctx context.Context) error {
	return g.settle(ctx, func() error { g.gone = true; return nil })
}

// abandon removes a registration that nobody has.
func (r *Registrar) abandon(g *Registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !g.gone {
		g.gone = true
		r.enqueue(g)
	}
}

// withdraw removes the record while a check fails, and puts it back.
func (g *Registration) withdraw(hidden bool, why error) {
	r := g.r
	r.mu.Lock()
	changed := !g.gone && g.hidden != hidden
	if changed {
		g.hidden = hidden
		r.enqueue(g)
	}
	in := g.in
	r.mu.Unlock()
	if changed && hidden {
		r.tell(Withdrawn, in, why)
	}
}
