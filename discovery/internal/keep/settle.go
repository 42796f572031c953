package keep

// Settling: the shell around the machines. It takes entries out of the queue and makes the
// requests that their machines ask for.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// write settles the queue, several keys at a time, at the allowed rate.
func (k *Keeper) write(ctx context.Context) {
	for {
		e := k.next()
		if e == nil {
			select {
			case <-k.work:
				continue
			case <-ctx.Done():
				return
			}
		}
		if k.limiter.Wait(ctx) != nil {
			return
		}
		select {
		case k.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		k.group.Go(func(ctx context.Context) {
			defer func() { <-k.slots }()
			k.settle(ctx, e)
		})
	}
}

// next takes an entry out of the queue; nil if there is none, or no lease to write under.
func (k *Keeper) next() *entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.usable() == clientv3.NoLease {
		k.dropGone()
		return nil
	}
	for len(k.queue) > 0 {
		e := k.queue[0]
		k.queue[0] = nil
		k.queue = k.queue[1:]
		if e.work == Queued && k.entries[e.key] == e {
			e.work = Busy
			return e
		}
	}
	k.queue = nil
	return nil
}

// dropGone drops the keys that are to be removed while there is no lease: they went, or go, with
// their lease. If that lease may live, they are removed when it is found alive. The caller holds
// mu.
func (k *Keeper) dropGone() {
	for _, e := range k.entries {
		if e.target != Gone || e.work == Busy {
			continue
		}
		e.answerWaiters(e.turn, nil)
		if !k.lapsed {
			k.forget(e)
		}
	}
	k.queue = slices.DeleteFunc(k.queue, func(e *entry) bool { return k.entries[e.key] != e })
}

// forget ends an entry; the caller holds mu.
func (k *Keeper) forget(e *entry) {
	delete(k.entries, e.key)
	k.over.Note(e.key, e.answered)
	if e.unsure != nil {
		k.unsure[e.key] = e.unsure
	}
	k.uncover(e)
	if len(k.entries) == 0 {
		signal(k.need)
	}
}

// settle brings one key to its target, and tries again later if that fails.
func (k *Keeper) settle(ctx context.Context, e *entry) {
	for failures := 0; ; failures++ {
		k.mu.Lock()
		q, ok := e.next(int64(k.usable()))
		k.mu.Unlock()
		if !ok {
			signal(k.work) // without a lease, keys to be removed are forgotten
			return
		}
		r := k.request(ctx, e.key, q, WriteTry<<min(failures, writeTryDoubles))
		if !k.result(e, q, r) {
			return
		}
		if r.err != nil && backoff.Sleep(ctx, Retry.Wait(failures)) != nil {
			return
		}
	}
}

// request makes one request, which limit bounds.
func (k *Keeper) request(ctx context.Context, key string, q request, limit time.Duration) result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx = clientv3.WithEarlyDoubt(ctx) // an unknown outcome is looked at and tried again
	switch q.do {
	case remove:
		var rev int64
		for _, id := range []int64{q.lease, q.also} {
			if id == 0 {
				continue
			}
			is := clientv3.Compare(clientv3.LeaseValue(key), "=", id)
			t, err := k.client.Txn(ctx).If(is).Then(clientv3.OpDelete(key)).Commit()
			if err != nil {
				return failed(err)
			}
			rev = t.Header.Revision
		}
		return result{done: true, rev: rev}
	case look:
		r, err := k.client.Get(ctx, key)
		if err != nil {
			return failed(err)
		}
		return result{found: first(r.Kvs), rev: r.Header.Revision}
	}
	is := clientv3.Compare(clientv3.ModRevision(key), "=", q.mod)
	if q.mod == 0 {
		is = clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	}
	t, err := k.client.Txn(ctx).If(is).
		Then(clientv3.OpPut(key, string(q.value), clientv3.WithLease(clientv3.LeaseID(q.lease)))).
		Else(clientv3.OpGet(key)).
		Commit()
	if clientv3.Code(err) == codes.PermissionDenied &&
		clientv3.Code(k.ask(ctx, clientv3.LeaseID(q.lease))) == codes.PermissionDenied {
		signal(k.expired) // another key is forbidden; this one may be put under the next lease
		return result{err: err}
	}
	if err != nil {
		return failed(err)
	}
	if t.Succeeded {
		return result{done: true, rev: t.Header.Revision}
	}
	return result{found: first(t.Responses[0].GetResponseRange().GetKvs()), rev: t.Header.Revision}
}

func first(kvs []*mvccpb.KeyValue) *record {
	if len(kvs) == 0 {
		return nil
	}
	return &record{value: kvs[0].Value, mod: kvs[0].ModRevision, lease: kvs[0].Lease}
}

// failed returns the result of an error. A refused request is not tried again at once, nor is one
// that is not known to be safe.
func failed(err error) result {
	if tooLarge(err) {
		return result{err: err, denied: true, unfit: true}
	}
	lost := errors.Is(err, rpctypes.ErrLeaseNotFound) // which is about to be noticed
	again := lost || !refused(err) && (clientv3.SafeToRetry(err) || clientv3.OutcomeUnknown(err))
	return result{err: err, denied: !again}
}

// tooLarge reports whether a request is larger than the server allows, or than gRPC allows on
// either side.
func tooLarge(err error) bool {
	if errors.Is(err, rpctypes.ErrRequestTooLarge) {
		return true
	}
	return clientv3.Code(err) == codes.ResourceExhausted && !errors.Is(err, rpctypes.ErrNoSpace) &&
		!errors.Is(err, rpctypes.ErrTooManyRequests)
}

// refused reports whether the server understood a request and does not allow it. Repeating it helps
// only after an operator has changed something.
func refused(err error) bool {
	switch clientv3.Code(err) {
	case codes.PermissionDenied,
		codes.Unauthenticated,
		codes.InvalidArgument,
		codes.FailedPrecondition,
		codes.Unimplemented:
		return true
	}
	return errors.Is(err, rpctypes.ErrLeaseTTLTooLarge)
}

// result passes a result to the machine and carries out the effect; again: another request is
// needed.
func (k *Keeper) result(e *entry, q request, r result) (again bool) {
	k.mu.Lock()
	e.why = r.err
	if r.rev > 0 {
		e.answered = r.rev
	}
	if q.do == put && q.mod == 0 && clientv3.OutcomeUnknown(r.err) {
		e.doubt(string(q.value))
	}
	r.awaits = len(e.waiting) > 0
	own := func(id int64) bool { return id == q.lease || k.former[clientv3.LeaseID(id)] }
	f := e.result(q, r, own, e.spec.Judge)
	if f.settle {
		e.answerWaiters(q.turn, f.err)
	}
	if f.forget {
		e.answerWaiters(e.turn, nil)
		k.forget(e)
	} else {
		k.enqueue(e, f.queue)
	}
	notify := e.spec.Notify
	k.mu.Unlock()
	if errors.Is(r.err, rpctypes.ErrLeaseNotFound) {
		signal(k.expired)
	}
	k.notify(notify, f)
	return f.again
}

// doubt notes a value with which an unanswered put may still create the key.
func (e *entry) doubt(value string) {
	if !slices.Contains(e.unsure, value) {
		e.unsure = append(e.unsure, value)
	}
}

// notify sends an owner an event, without the lock.
func (k *Keeper) notify(to func(Kind, error), f effect) {
	if f.notify == "" {
		return
	}
	if f.notify == Lost && f.why == nil {
		f.why = errChanged
	}
	to(f.notify, f.why)
}

// late returns the error of a context that ended before a key had reached its target, with etcd's
// answer.
func (k *Keeper) late(ctx context.Context, e *entry) error {
	k.mu.Lock()
	why := e.why
	if why == nil {
		why = k.why
	}
	k.mu.Unlock()
	if why == nil || errors.Is(why, context.DeadlineExceeded) { // of one try: the members' states say more
		for _, m := range k.client.MemberStates() {
			if m.LastErr != nil {
				why = fmt.Errorf("%s is %s: %w", m.Endpoint, m.State, m.LastErr)
				break
			}
		}
	}
	if why == nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: etcd has not taken %s: %v", ctx.Err(), e.key, why)
}
