package keep

// The lease is granted when there is something to keep, and renewed until etcd says that it is
// gone, however long etcd does not answer: after an outage a new leader has given it its whole time
// again, and the keys under it are still there. Then nothing has to be written again, no watcher
// sees the keys vanish, and the watch of the keys shows what has changed. While the lease may have
// ended it has lapsed: nothing is written, and owners learn that their keys are lost.
//
// A lease that is gone is followed by another. The keys are put under it before the rest of the old
// one is dealt with.

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

// shortHold: if a lease ends this early, the next one is not requested at once.
const shortHold = time.Second

// held is a lease that is kept alive.
type held struct {
	id       clientv3.LeaseID
	rev      int64 // of the store when it was granted or found
	renewals <-chan *clientv3.LeaseKeepAliveResponse
	let      context.CancelFunc // ends the renewals
}

// run grants a lease while there is a key to keep, and holds it.
func (k *Keeper) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		if !k.needsLease() {
			if k.revokeIdle(ctx) {
				failures = 0
				k.awaitNeed(ctx)
			} else {
				_ = backoff.Sleep(ctx, Retry.Wait(failures))
				failures++
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
		began, wait := time.Now(), time.Duration(0)
		if k.hold(ctx, h) { // etcd has just said so
			wait = k.turn()
		}
		if time.Since(began) > shortHold {
			failures = 0
		} else {
			wait += Retry.Wait(failures)
			failures++
		}
		_ = backoff.Sleep(ctx, wait)
	}
}

// awaitNeed waits until there is a key to keep.
func (k *Keeper) awaitNeed(ctx context.Context) {
	for ctx.Err() == nil && !k.needsLease() {
		select {
		case <-k.need:
		case <-ctx.Done():
		}
	}
}

// revokeIdle revokes the lease that was given up when there was no key to keep any more; false:
// etcd did not answer.
func (k *Keeper) revokeIdle(ctx context.Context) (done bool) {
	k.mu.Lock()
	id := k.idled
	k.mu.Unlock()
	if id == clientv3.NoLease {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, grantTry)
	defer cancel()
	if _, err := k.client.Revoke(ctx, id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) && !refused(err) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.idled = clientv3.NoLease
	return true
}

// turn draws how long to wait before all keys are written again.
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
			resp, err := k.client.Get(
				ctx,
				prefix,
				clientv3.WithPrefix(),
				clientv3.WithCountOnly(),
				clientv3.WithSerializable(),
			)
			if err != nil {
				return // the previous count stays
			}
			total += resp.Count
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.others = total
	})
}

// needsLease reports whether any key needs a lease.
func (k *Keeper) needsLease() bool {
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

// notGranted notes why there is no lease. Waiting callers get the error if it was refused.
func (k *Keeper) notGranted(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.why = err
	if refused(err) {
		for _, e := range k.entries {
			e.answerWaiters(e.turn, err)
		}
	}
}

// renew begins to keep a lease alive.
func (k *Keeper) renew(ctx context.Context, id clientv3.LeaseID, rev int64) (*held, error) {
	ctx, let := context.WithCancel(ctx)
	renewals, err := k.client.KeepAlive(relapse.Owner(clientv3.WithUntilExpired(ctx)), id)
	if err != nil {
		let()
		return nil, err
	}
	return &held{id, rev, renewals, let}, nil
}

// hold keeps the keys under a lease until the lease is gone, which it reports, or no longer needed.
func (k *Keeper) hold(ctx context.Context, h *held) (gone bool) {
	defer h.let()
	defer k.watchAll(ctx, h.rev+1)()
	k.mu.Lock()
	k.lease, k.why = h.id, nil
	for _, e := range k.entries {
		k.enqueue(e, e.touch())
	}
	k.mu.Unlock()
	lapse := time.NewTimer(time.Duration(k.ttl) * time.Second)
	defer lapse.Stop()
	overdue := time.NewTimer(k.overdue())
	defer overdue.Stop()
	barred := make(chan struct{}, 1)
	counting := time.NewTimer(time.Second) // by then the count has this process too
	defer counting.Stop()
	again := time.NewTicker(refusedEvery)
	defer again.Stop()
	var ear relapse.Ear
	relapsed := time.NewTimer(0)
	<-relapsed.C
	defer relapsed.Stop()
	for {
		select {
		case r, ok := <-h.renewals:
			if !ok {
				k.leaseGone()
				return true
			}
			lapse.Reset(time.Duration(r.TTL) * time.Second)
			overdue.Reset(k.overdue())
			k.regain()
			if ear.Hear(r.ResponseHeader, k.client.Lease, k.newestEnded()) {
				relapsed.Reset(rand.N(relapse.Spread))
			}
		case <-relapsed.C:
			k.group.Go(func(ctx context.Context) { k.relapsed(ctx, h.id) })
		case <-lapse.C:
			k.lapse()
		case <-k.expired: // a wiped etcd, say: the next renewal would say so too
			switch err := k.ask(ctx, h.id); {
			case errors.Is(err, rpctypes.ErrLeaseNotFound):
				k.leaseGone()
				return true
			case clientv3.Code(err) == codes.PermissionDenied:
				signal(barred)
			}
		case <-overdue.C:
			overdue.Reset(k.overdue())
			if follow.Reachable(k.client) {
				k.group.Go(func(ctx context.Context) {
					if clientv3.Code(k.ask(ctx, h.id)) == codes.PermissionDenied {
						signal(barred)
					}
				})
			}
		case <-barred: // the keys move to another lease, before this one ends
			k.leaseGone()
			return false
		case <-counting.C:
			k.count()
			counting.Reset(countEvery)
		case <-again.C:
			k.tryDenied()
			k.audit()
		case <-k.need:
			if k.idle() {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// ask asks etcd what is wrong with a lease. The answer to a request may be about an earlier one.
//
// etcd refuses to renew a lease, or to put a key under it, for a user who may not write one of its
// keys any more: all keys of this process would go because one is forbidden. Only the forbidden one
// does if the others move to another lease before the renewals have been missing for too long.
func (k *Keeper) ask(ctx context.Context, id clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(ctx, WriteTry)
	defer cancel()
	_, err := k.client.KeepAliveOnce(ctx, id)
	return err
}

// overdue is how long a renewal may be missing before etcd is asked why: three are due in a TTL.
func (k *Keeper) overdue() time.Duration { return time.Duration(k.ttl) * time.Second / 2 }

// watchAll watches all spans from rev on, and later ones, until it is stopped.
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

// tryDenied tries refused keys again.
func (k *Keeper) tryDenied() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.entries {
		if e.work == Denied {
			k.enqueue(e, e.touch())
		}
	}
}

// audit queues the keys that the watch does not show.
func (k *Keeper) audit() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.entries {
		k.enqueue(e, e.audit())
	}
}

// idle gives the lease up if no key is kept any more. Then run or Close revokes it.
func (k *Keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.entries) > 0 {
		return false
	}
	k.idled = k.lease
	k.unlease()
	return true
}

// unlease notes that there is no lease any more; the caller holds mu.
func (k *Keeper) unlease() {
	k.former[k.lease] = true
	k.lease, k.lapsed = clientv3.NoLease, false
	clear(k.unsure)
}

// lapse notes that the lease may have ended.
func (k *Keeper) lapse() {
	k.mu.Lock()
	k.lapsed = true
	lost := k.each(func(e *entry) effect { return e.lapse() })
	k.mu.Unlock()
	signal(k.work) // callers that wait for a removal are answered
	k.notifyAll(lost, errLeaseLost)
}

// regain notes that the lease has not ended.
func (k *Keeper) regain() {
	k.mu.Lock()
	if !k.lapsed {
		k.mu.Unlock()
		return
	}
	k.lapsed = false
	found := k.each(func(e *entry) effect { return e.regain(len(e.waiting) > 0) })
	k.mu.Unlock()
	k.notifyAll(found, nil)
}

// leaseGone: all keys are to be put under the next lease.
func (k *Keeper) leaseGone() {
	k.mu.Lock()
	k.unlease()
	lost := k.each(func(e *entry) effect { return e.lost() })
	k.queue = nil
	k.mu.Unlock()
	signal(k.work) // keys to be removed are forgotten
	k.notifyAll(lost, errLeaseLost)
}

// notice is one event that an owner has not got yet.
type notice struct {
	to   func(Kind, error)
	kind Kind
}

// each applies happen to every key, and returns the notices to send after the lock is released; the
// caller holds mu.
func (k *Keeper) each(happen func(*entry) effect) (all []notice) {
	for _, e := range k.entries {
		f := happen(e)
		k.enqueue(e, f.queue)
		if f.notify != "" {
			all = append(all, notice{e.spec.Notify, f.notify})
		}
	}
	return all
}

func (k *Keeper) notifyAll(all []notice, why error) {
	for _, t := range all {
		t.to(t.kind, why)
	}
}
