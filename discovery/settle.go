package discovery

// Settling: making one record what it is to be, whatever is there. Nothing that another
// process wrote is overwritten or deleted: every transaction compares the record's mod
// revision, or the lease that it is attached to.

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// write settles dirty registrations, several at a time, at the rate allowed.
func (r *Registrar) write(ctx context.Context) {
	for {
		g := r.next()
		if g == nil {
			select {
			case <-r.work:
				continue
			case <-ctx.Done():
				return
			}
		}
		if r.limiter.Wait(ctx) != nil {
			return
		}
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		r.group.Go(func(ctx context.Context) {
			defer func() { <-r.slots }()
			r.settleOne(ctx, g)
		})
	}
}

// next takes a registration out of the queue; nil if there is none, or no lease to write
// under.
func (r *Registrar) next() *Registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lease == 0 {
		r.dropGone()
		return nil
	}
	for len(r.dirty) > 0 {
		g := r.dirty[0]
		r.dirty[0] = nil
		r.dirty = r.dirty[1:]
		g.queued = false
		if g.dirty && !g.replaced {
			g.busy = true
			return g
		}
	}
	r.dirty = nil
	return nil
}

// dropGone forgets what is to be removed while there is no lease: the records went, or go,
// with the one they were under, or are removed if that is found alive. The caller holds mu.
func (r *Registrar) dropGone() {
	r.dirty = slices.DeleteFunc(r.dirty, func(g *Registration) bool {
		if !g.gone {
			return false
		}
		g.queued = false
		if r.lost != clientv3.NoLease {
			r.remains[g.key] = struct{}{}
		}
		r.forget(g)
		g.told(nil)
		return true
	})
}

// forget ends a registration; the caller holds mu.
func (r *Registrar) forget(g *Registration) {
	if r.regs[g.key] == g {
		delete(r.regs, g.key)
		if len(r.regs) == 0 {
			signal(r.need)
		}
	}
}

// settleOne makes one record right, and tries again later if it could not.
func (r *Registrar) settleOne(ctx context.Context, g *Registration) {
	for failures := 0; ; failures++ {
		again, err := r.step(ctx, g)
		if !again {
			return
		}
		if err != nil && backoff.Sleep(ctx, retry.Wait(failures)) != nil {
			return
		}
	}
}

// goal is what a registration is to be, as of one moment.
type goal struct {
	lease clientv3.LeaseID
	value []byte // nil: no record
	mod   int64
	owned clientv3.LeaseID // of the record that we wrote last
	first bool             // it never was there
	look  bool
	in    *Instance
	read  *Instance
	gone  bool
}

// step makes one request towards the goal; again: another one is needed.
func (r *Registrar) step(ctx context.Context, g *Registration) (again bool, err error) {
	r.mu.Lock()
	if r.lease == 0 || g.replaced { // it stays dirty; hold puts it into the queue again
		g.busy = false
		r.mu.Unlock()
		return false, nil
	}
	g.dirty = false
	want := goal{lease: r.lease, value: g.value, mod: g.mod, owned: g.lease, first: !g.ever, look: g.verify, in: g.in, read: g.read, gone: g.gone}
	if g.gone || g.hidden {
		want.value = nil
	}
	r.mu.Unlock()
	tctx, cancel := context.WithTimeout(ctx, writeTry)
	defer cancel()
	if want.value == nil {
		return r.remove(tctx, g, want)
	}
	if want.look {
		return r.look(tctx, g, want)
	}
	return r.put(tctx, g, want)
}

// look finds out what the record is.
func (r *Registrar) look(ctx context.Context, g *Registration, want goal) (again bool, err error) {
	resp, err := r.client.Get(ctx, g.key)
	if err != nil {
		return r.failed(g, err)
	}
	r.mu.Lock()
	g.verify = false
	r.mu.Unlock()
	if len(resp.Kvs) > 0 {
		return r.found(g, want, resp.Kvs[0])
	}
	r.absent(g)
	return true, nil
}

// absent notes that the record is not there.
func (r *Registrar) absent(g *Registration) {
	r.mu.Lock()
	lost := g.there
	g.there, g.mod = false, 0
	in := g.in
	r.mu.Unlock()
	if lost {
		r.tell(Lost, in, errChanged)
	}
}

// put writes the record if the key is as last known.
func (r *Registrar) put(ctx context.Context, g *Registration, want goal) (again bool, err error) {
	is := clientv3.Compare(clientv3.ModRevision(g.key), "=", want.mod)
	if want.mod == 0 {
		is = clientv3.Compare(clientv3.CreateRevision(g.key), "=", 0)
	}
	t, err := r.client.Txn(ctx).If(is).
		Then(clientv3.OpPut(g.key, string(want.value), clientv3.WithLease(want.lease))).
		Else(clientv3.OpGet(g.key)).
		Commit()
	if err != nil {
		return r.failed(g, err)
	}
	if t.Succeeded {
		r.settled(g, want, t.Header.Revision, want.lease)
		return false, nil
	}
	if kvs := t.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		return r.found(g, want, kvs[0])
	}
	r.absent(g)
	return true, nil
}

// found decides what to do about a record that is not the one that was last known.
func (r *Registrar) found(g *Registration, want goal, kv *mvccpb.KeyValue) (again bool, err error) {
	lease := clientv3.LeaseID(kv.Lease)
	r.mu.Lock()
	ours := lease == want.lease || lease != 0 && r.former[lease]
	r.mu.Unlock()
	if lease == want.lease && string(kv.Value) == string(want.value) {
		r.settled(g, want, kv.ModRevision, lease) // an answer was lost
		return false, nil
	}
	holder, restart := g.holder(want, kv.Value)
	if ours || want.first && restart {
		r.mu.Lock()
		g.mod, g.lease = kv.ModRevision, lease
		drained := lease == want.lease && g.drainedAs(holder)
		if drained {
			in := g.in.clone() // what the format does not carry, or has changed meanwhile, stays
			in.State = Draining
			drained = g.set(in) == nil
		}
		r.mu.Unlock()
		if drained {
			r.tell(Drained, holder, nil)
		}
		return true, nil
	}
	r.takenBy(g, holder)
	return false, nil
}

// takenBy notes that another process has the key. Whoever waits is told; what was there
// before comes back when the key is free.
func (r *Registrar) takenBy(g *Registration, holder *Instance) {
	err := &TakenError{Key: g.key, Holder: holder}
	r.mu.Lock()
	lost := g.ever && !g.taken
	g.taken, g.there, g.mod = true, false, 0
	if !g.gone { // whoever closes it waits for its removal, which is next
		g.told(err)
	}
	r.release(g, 0)
	in := g.in
	r.mu.Unlock()
	if lost {
		r.tell(Taken, in, err)
	}
}

// release ends the settling of a registration, as of a revision of its key; the caller
// holds mu. If something has changed meanwhile, it is in the queue again.
func (r *Registrar) release(g *Registration, as int64) {
	g.busy = false
	if g.dirty || as > 0 && g.seen > as {
		r.enqueue(g)
	}
}

// settled notes that the record is as wanted.
func (r *Registrar) settled(g *Registration, want goal, mod int64, lease clientv3.LeaseID) {
	kind := EventKind("")
	r.mu.Lock()
	g.mod, g.lease = mod, lease
	switch {
	case !g.ever:
		kind = Registered
	case !g.there:
		kind = Restored
	}
	g.ever, g.there, g.taken, g.refused = true, true, false, false
	g.wrote, g.why = want.read, nil
	if !g.dirty {
		g.told(nil)
	}
	r.release(g, mod)
	r.mu.Unlock()
	if kind != "" {
		r.tell(kind, want.in, nil)
	}
}

// remove deletes the record if it is attached to a lease of ours.
func (r *Registrar) remove(ctx context.Context, g *Registration, want goal) (again bool, err error) {
	leases := []clientv3.LeaseID{want.lease}
	if want.owned != 0 && want.owned != want.lease {
		leases = append(leases, want.owned)
	}
	for _, id := range leases {
		_, err := r.client.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(g.key), "=", id)).Then(clientv3.OpDelete(g.key)).Commit()
		if err != nil {
			return r.failed(g, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g.there, g.mod, g.lease, g.refused, g.why = false, 0, 0, false, nil
	if want.gone {
		r.forget(g)
	}
	if !g.dirty {
		g.told(nil)
	}
	r.release(g, 0)
	return false, nil
}

// failed decides whether to try again at once. What is refused is told to those who wait, frees
// its slot for others, and is tried again later; if it never was there, its removal is done.
func (r *Registrar) failed(g *Registration, err error) (again bool, _ error) {
	lost := errors.Is(err, rpctypes.ErrLeaseNotFound) // which is about to be noticed
	r.mu.Lock()
	g.why = err
	if lost || !refused(err) && (clientv3.SafeToRetry(err) || clientv3.OutcomeUnknown(err)) {
		r.mu.Unlock()
		return true, err
	}
	news := !g.refused && len(g.waiting) == 0 && !g.gone
	g.refused = true
	g.told(err)
	if g.gone && !g.ever {
		r.forget(g)
		r.uncover(g.key)
	}
	r.release(g, 0)
	in := g.in
	r.mu.Unlock()
	if news {
		r.tell(Refused, in, err)
	}
	return false, err
}

// late is the error of a context that ended before a registration was as wanted, with what
// etcd said to it.
func (r *Registrar) late(ctx context.Context, g *Registration) error {
	r.mu.Lock()
	why := g.why
	if why == nil {
		why = r.why
	}
	r.mu.Unlock()
	if why == nil || errors.Is(why, context.DeadlineExceeded) { // of one try: the members tell more
		for _, m := range r.client.MemberStates() {
			if m.LastErr != nil {
				why = fmt.Errorf("%s is %s: %w", m.Endpoint, m.State, m.LastErr)
				break
			}
		}
	}
	if why == nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: etcd has not taken %s: %v", ctx.Err(), g.key, why)
}
