package keep

// The lease: granted when there is something to keep, and kept alive. One that was lost, since
// nobody answered, is tried before another is granted: after an outage of etcd a new leader has
// given it its whole time again, and the keys under it are still there. Nothing is to be
// written again then, and nobody sees them vanish.

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// held is a lease that is kept alive.
type held struct {
	id       clientv3.LeaseID
	rev      int64 // of the store when it was granted or found
	renewals <-chan *clientv3.LeaseKeepAliveResponse
	let      context.CancelFunc // ends the renewals
}

// run has the lease.
func (k *Keeper) run(ctx context.Context) {
	for failures, again := 0, false; ctx.Err() == nil; {
		if lost := k.lostLease(); lost != clientv3.NoLease {
			h, err := k.readopt(ctx, lost)
			switch {
			case err != nil:
				_ = backoff.Sleep(ctx, Retry.Wait(failures))
				failures++
			case h == nil:
				k.forgetLost()
				failures = 0
			default:
				failures, again = 0, k.hold(ctx, h)
			}
			continue
		}
		if !k.wanted() {
			select {
			case <-k.need:
			case <-ctx.Done():
			}
			continue
		}
		h, err := k.grant(ctx)
		if err != nil {
			k.notGranted(err)
			_ = backoff.Sleep(ctx, Retry.Wait(failures))
			failures++
			continue
		}
		failures = 0
		if again && backoff.Sleep(ctx, k.turn()) != nil {
			return
		}
		again = k.hold(ctx, h)
	}
}

// turn draws how long to wait before everything is written again.
func (k *Keeper) turn() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	others := k.others - int64(len(k.entries))
	if others <= 0 {
		return 0
	}
	return time.Duration(rand.Int64N(others*int64(time.Second)/herdRate + 1))
}

// count counts the keys of the crowds, in the background.
func (k *Keeper) count() {
	k.group.Go(func(ctx context.Context) {
		k.mu.Lock()
		crowds := make(map[string]bool)
		for _, e := range k.entries {
			if e.spec.Crowd != "" {
				crowds[e.spec.Crowd] = true
			}
		}
		k.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, grantTry)
		defer cancel()
		total := int64(0)
		for prefix := range crowds {
			resp, err := k.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly(), clientv3.WithSerializable())
			if err != nil {
				return // what was counted before stays
			}
			total += resp.Count
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.others = total
	})
}

// wanted reports whether there is anything to have a lease for.
func (k *Keeper) wanted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.entries) > 0
}

func (k *Keeper) grant(ctx context.Context) (*held, error) {
	gctx, cancel := context.WithTimeout(ctx, grantTry)
	defer cancel()
	g, err := k.client.Grant(gctx, k.ttl)
	if err != nil {
		return nil, err
	}
	return k.renew(ctx, g.ID, g.Revision)
}

// notGranted notes why there is no lease. Whoever waits is told if it was refused.
func (k *Keeper) notGranted(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.why = err
	if refused(err) {
		for _, e := range k.entries {
			e.told(e.turn, err)
		}
	}
}

// readopt goes on with a lease that was lost, if the server has it. nil without an error: it is
// over, or cannot be had. What was given up meanwhile is removed, since it has not gone with the
// lease; if nothing is kept any more, that is revoked.
func (k *Keeper) readopt(ctx context.Context, id clientv3.LeaseID) (*held, error) {
	tctx, cancel := context.WithTimeout(ctx, grantTry)
	defer cancel()
	if !k.wanted() {
		_, err := k.client.Revoke(tctx, id)
		return nil, final(err)
	}
	a, err := k.client.KeepAliveOnce(tctx, id)
	if err != nil {
		return nil, final(err)
	}
	for _, key := range k.givenUp() {
		_, err := k.client.Txn(tctx).If(clientv3.Compare(clientv3.LeaseValue(key), "=", id)).Then(clientv3.OpDelete(key)).Commit()
		if err != nil {
			return nil, final(err)
		}
	}
	return k.renew(ctx, id, a.Revision)
}

// renew begins to keep a lease alive.
func (k *Keeper) renew(ctx context.Context, id clientv3.LeaseID, rev int64) (*held, error) {
	ctx, let := context.WithCancel(ctx)
	renewals, err := k.client.KeepAlive(ctx, id)
	if err != nil {
		let()
		return nil, err
	}
	return &held{id, rev, renewals, let}, nil
}

// givenUp are the keys that were closed without a lease.
func (k *Keeper) givenUp() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropGone()
	var keys []string
	for key := range k.remains {
		if k.entries[key] == nil { // it is not kept again
			keys = append(keys, key)
		}
	}
	return keys
}

// lostLease is a lease to try before another one is granted.
func (k *Keeper) lostLease() clientv3.LeaseID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost
}

// forgetLost: there is no such lease any more.
func (k *Keeper) forgetLost() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost = clientv3.NoLease
	clear(k.remains)
}

// final is nil for an error that trying again does not change.
func final(err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) || refused(err) {
		return nil
	}
	return err
}

// hold keeps everything under a lease until that is lost, which it reports, or not needed.
func (k *Keeper) hold(ctx context.Context, h *held) (lost bool) {
	defer h.let()
	defer k.watchAll(ctx, h.rev+1)()
	k.mu.Lock()
	k.lease, k.lost, k.why = h.id, clientv3.NoLease, nil
	clear(k.remains)
	for _, e := range k.entries {
		k.enqueue(e, e.touch())
	}
	k.mu.Unlock()
	counting := time.NewTimer(time.Second) // by then this process is among them
	defer counting.Stop()
	again := time.NewTicker(refusedEvery)
	defer again.Stop()
	for {
		select {
		case _, ok := <-h.renewals:
			if !ok {
				k.leaseLost(h.id)
				return true
			}
		case <-k.expired: // a wiped etcd, say: the next renewal would say so too
			if k.unknown(ctx, h.id) {
				k.leaseLost(h.id)
				return true
			}
		case <-counting.C:
			k.count()
			counting.Reset(countEvery)
		case <-again.C:
			k.tryDenied()
		case <-k.need:
			if k.idle() {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// unknown reports that etcd does not know a lease. What a request said may be about an earlier one.
func (k *Keeper) unknown(ctx context.Context, id clientv3.LeaseID) bool {
	ctx, cancel := context.WithTimeout(ctx, WriteTry)
	defer cancel()
	_, err := k.client.KeepAliveOnce(ctx, id)
	return errors.Is(err, rpctypes.ErrLeaseNotFound)
}

// watchAll watches all spans from rev on, and those that come, until it is stopped.
func (k *Keeper) watchAll(ctx context.Context, rev int64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watches sync.WaitGroup
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watchIt = func(s *span, rev int64) { watches.Go(func() { k.watch(ctx, s, rev) }) }
	for _, s := range k.spans {
		k.watchIt(s, rev)
	}
	return func() {
		k.mu.Lock()
		k.watchIt = nil
		k.mu.Unlock()
		cancel()
		watches.Wait()
	}
}

// tryDenied has what was refused tried again.
func (k *Keeper) tryDenied() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.entries {
		if e.work == Denied {
			k.enqueue(e, e.touch())
		}
	}
}

// idle gives the lease up if nothing is kept any more. Like one that was lost it is revoked, or
// gone on with if a key has come by then; Close revokes it too.
func (k *Keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.entries) > 0 {
		return false
	}
	k.lease, k.lost = clientv3.NoLease, k.lease
	return true
}

// leaseLost: everything is to be looked at under whatever lease comes.
func (k *Keeper) leaseLost(id clientv3.LeaseID) {
	var lost []func(Kind, error)
	k.mu.Lock()
	k.lease, k.lost = clientv3.NoLease, id
	k.former[id] = true
	for _, e := range k.entries {
		if f := e.lost(); f.tell != "" {
			lost = append(lost, e.spec.Tell)
		}
	}
	k.queue = nil
	k.mu.Unlock()
	signal(k.work) // what is to be removed is forgotten
	for _, tell := range lost {
		tell(Lost, errLeaseLost)
	}
}
