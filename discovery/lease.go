package discovery

// The lease: granted when there is something to register, and kept alive. One that was lost, since
// nobody answered, is tried before another is granted: after an outage of etcd a new leader has
// given it its whole time again, and the records under it are still there. Nothing is to be
// registered again then, and nobody sees them vanish.

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// run has the lease.
func (r *Registrar) run(ctx context.Context) {
	for failures, again := 0, false; ctx.Err() == nil; {
		if lost := r.lostLease(); lost != clientv3.NoLease {
			granted, renewals, err := r.readopt(ctx, lost)
			switch {
			case err != nil:
				_ = backoff.Sleep(ctx, retry.Wait(failures))
				failures++
			case granted == nil:
				r.forgetLost()
				failures = 0
			default:
				failures, again = 0, r.hold(ctx, granted, renewals)
			}
			continue
		}
		if !r.wanted() {
			select {
			case <-r.need:
			case <-ctx.Done():
			}
			continue
		}
		granted, renewals, err := r.grant(ctx)
		if err != nil {
			r.notGranted(err)
			_ = backoff.Sleep(ctx, retry.Wait(failures))
			failures++
			continue
		}
		failures = 0
		if again && backoff.Sleep(ctx, r.turn()) != nil {
			return
		}
		again = r.hold(ctx, granted, renewals)
	}
}

// turn draws how long to wait before everything is registered again.
func (r *Registrar) turn() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	others := r.others - int64(len(r.regs))
	if others <= 0 {
		return 0
	}
	return time.Duration(rand.Int64N(others*int64(time.Second)/herdRate + 1))
}

// count counts the records of the services that are registered here, in the background.
func (r *Registrar) count() {
	r.group.Go(func(ctx context.Context) {
		r.mu.Lock()
		prefixes := make(map[string]bool)
		for _, g := range r.regs {
			if !g.plain {
				prefixes[r.format.Prefix(g.in.Service)] = true
			}
		}
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, grantTry)
		defer cancel()
		total := int64(0)
		for prefix := range prefixes {
			resp, err := r.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly(), clientv3.WithSerializable())
			if err != nil {
				return // what was counted before stays
			}
			total += resp.Count
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.others = total
	})
}

// wanted reports whether there is anything to have a lease for.
func (r *Registrar) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.regs) > 0
}

func (r *Registrar) grant(ctx context.Context) (*clientv3.LeaseGrantResponse, <-chan *clientv3.LeaseKeepAliveResponse, error) {
	gctx, cancel := context.WithTimeout(ctx, grantTry)
	defer cancel()
	g, err := r.client.Grant(gctx, r.ttl)
	if err != nil {
		return nil, nil, err
	}
	renewals, err := r.client.KeepAlive(ctx, g.ID)
	return g, renewals, err
}

// notGranted notes why there is no lease. Whoever waits is told if it was refused.
func (r *Registrar) notGranted(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = err
	if refused(err) {
		for _, g := range r.regs {
			g.told(err)
		}
	}
}

// readopt goes on with a lease that was lost, if the server has it. nil without an error: it is
// over, or cannot be had. What was closed meanwhile is removed, since it has not gone with the
// lease; if nothing is registered any more, that is revoked.
func (r *Registrar) readopt(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseGrantResponse, <-chan *clientv3.LeaseKeepAliveResponse, error) {
	tctx, cancel := context.WithTimeout(ctx, grantTry)
	defer cancel()
	if !r.wanted() {
		_, err := r.client.Revoke(tctx, id)
		return nil, nil, final(err)
	}
	k, err := r.client.KeepAliveOnce(tctx, id)
	if err != nil {
		return nil, nil, final(err)
	}
	for _, key := range r.closedMeanwhile() {
		_, err := r.client.Txn(tctx).If(clientv3.Compare(clientv3.LeaseValue(key), "=", id)).Then(clientv3.OpDelete(key)).Commit()
		if err != nil {
			return nil, nil, final(err)
		}
	}
	renewals, err := r.client.KeepAlive(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return &clientv3.LeaseGrantResponse{ResponseHeader: k.ResponseHeader, ID: id, TTL: k.TTL}, renewals, nil
}

// closedMeanwhile are the keys of registrations that were closed without a lease.
func (r *Registrar) closedMeanwhile() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropGone()
	var keys []string
	for key := range r.remains {
		if r.regs[key] == nil { // it was not registered again
			keys = append(keys, key)
		}
	}
	return keys
}

// lostLease is a lease to try before another one is granted.
func (r *Registrar) lostLease() clientv3.LeaseID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// forgetLost: there is no such lease any more.
func (r *Registrar) forgetLost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = clientv3.NoLease
	clear(r.remains)
}

// final is nil for an error that trying again does not change.
func final(err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) || refused(err) {
		return nil
	}
	return err
}

// refused reports that the server understood a request and does not allow it: repeating it
// helps only when somebody has changed something.
func refused(err error) bool {
	switch clientv3.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented:
		return true
	}
	return false
}

// hold keeps everything registered under a lease until that is lost, which it reports, or
// not needed.
func (r *Registrar) hold(ctx context.Context, granted *clientv3.LeaseGrantResponse, renewals <-chan *clientv3.LeaseKeepAliveResponse) (lost bool) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	id := granted.ID
	r.mu.Lock()
	r.lease, r.lost, r.why = id, clientv3.NoLease, nil
	clear(r.remains)
	for _, g := range r.regs {
		if r.former[id] && g.ever {
			g.verify = true // it is probably there
		}
		r.enqueue(g)
	}
	r.mu.Unlock()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		r.watch(ctx, granted.Revision+1)
	}()
	defer func() { stop(); <-watching }()
	counting := time.NewTimer(time.Second) // by then this process is among them
	defer counting.Stop()
	again := time.NewTicker(refusedEvery)
	defer again.Stop()
	for {
		select {
		case _, ok := <-renewals:
			if !ok {
				r.leaseLost(id)
				return true
			}
		case <-counting.C:
			r.count()
			counting.Reset(countEvery)
		case <-again.C:
			r.tryRefused()
		case <-r.need:
			if r.idle() {
				rctx, cancel := context.WithTimeout(ctx, writeTry)
				_, _ = r.client.Revoke(rctx, id) // it expires otherwise
				cancel()
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// tryRefused has what was refused tried again.
func (r *Registrar) tryRefused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.regs {
		if g.refused && !g.dirty {
			r.enqueue(g)
		}
	}
}

// idle gives the lease up if nothing is registered any more.
func (r *Registrar) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.regs) > 0 {
		return false
	}
	r.lease, r.low, r.high = 0, "", ""
	return true
}

// leaseLost makes all registrations dirty, under whatever lease comes.
func (r *Registrar) leaseLost(id clientv3.LeaseID) {
	var lost []*Instance
	r.mu.Lock()
	r.lease, r.lost = 0, id
	r.former[id] = true
	for _, g := range r.regs {
		if g.there {
			g.there = false
			lost = append(lost, g.in)
		}
		g.dirty = true
	}
	r.mu.Unlock()
	for _, in := range lost {
		r.tell(Lost, in, errLeaseLost)
	}
}

var (
	errLeaseLost = errors.New("discovery: the lease was lost")
	errChanged   = errors.New("discovery: somebody deleted or replaced the record")
)
