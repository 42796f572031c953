package recipe

import (
	"context"
	"sync"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

// DoubleBarrier lets processes begin together and end together: Enter waits until count processes
// have entered, Leave until all have left. A process whose session ends has left.
type DoubleBarrier struct {
	s     *concurrency.Session
	key   string
	count int

	mu    sync.Mutex
	claim *concurrency.Claim // guarded by mu; nil if this process has not entered
}

// NewDoubleBarrier returns a barrier for count processes, each with a session of its own.
func NewDoubleBarrier(s *concurrency.Session, key string, count int) *DoubleBarrier {
	return &DoubleBarrier{s: s, key: key, count: count}
}

func (b *DoubleBarrier) waiters() string { return b.key + "/waiters" }
func (b *DoubleBarrier) ready() string   { return b.key + "/ready" }

// Enter waits until count processes have entered. The error is [ErrTooManyClients] if that many had
// entered before.
func (b *DoubleBarrier) Enter() error { return b.EnterContext(b.s.Client().Ctx()) }

// EnterContext is Enter with a context. When it fails, this process has not entered.
func (b *DoubleBarrier) EnterContext(ctx context.Context) error {
	claim, err := concurrency.NewClaim(ctx, b.s, uniqueKey(b.waiters()), "")
	if err != nil {
		return err
	}
	if err := b.enter(ctx, claim); err != nil {
		claim.Abandon()
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claim = claim
	return nil
}

func (b *DoubleBarrier) enter(ctx context.Context, claim *concurrency.Claim) error {
	client := b.s.Client()
	// This process counts those that entered before it, not those that come later.
	r, err := client.Get(ctx, b.waiters()+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	before := 0
	for _, kv := range r.Kvs {
		if kv.CreateRevision <= claim.Fence() {
			before++
		}
	}
	switch {
	case before > b.count:
		return ErrTooManyClients
	case before == b.count || len(r.Kvs) >= b.count:
		_, err := client.Put(ctx, b.ready(), "")
		return err
	}
	return until(ctx, claim, func(ctx context.Context) error {
		_, err := WaitEventsContext(ctx, client, b.ready(), claim.Fence(), putEvent)
		if lookAgain(err) {
			// The event may have been compacted. The key still exists then: it is deleted when all
			// have left, and this process has not.
			err = b.awaitReady(ctx)
		}
		return err
	})
}

// awaitReady waits until the key exists.
func (b *DoubleBarrier) awaitReady(ctx context.Context) error {
	for {
		r, err := b.s.Client().Get(ctx, b.ready(), clientv3.WithKeysOnly())
		if err != nil || len(r.Kvs) > 0 {
			return err
		}
		if _, err = WaitEventsContext(ctx, b.s.Client(), b.ready(), r.Header.Revision+1, putEvent); !lookAgain(err) {
			return err
		}
	}
}

// Leave waits until all who have entered have left.
func (b *DoubleBarrier) Leave() error { return b.LeaveContext(b.s.Client().Ctx()) }

// LeaveContext is Leave with a context. When it fails, this process may still count as entered,
// until a later Leave succeeds or its session ends.
func (b *DoubleBarrier) LeaveContext(ctx context.Context) error {
	b.mu.Lock()
	claim := b.claim
	b.mu.Unlock()
	if claim == nil {
		return nil
	}
	if err := b.leave(ctx, claim); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claim = nil
	return nil
}

// leave deletes this process's key and waits. The process that entered first leaves last; all
// others leave at once and wait for it. The first is the one with the lowest mod revision, as in
// the official package. The order of names may be another one, since they are made from clocks, and
// two processes with different orders could wait for each other.
func (b *DoubleBarrier) leave(ctx context.Context, claim *concurrency.Claim) error {
	client := b.s.Client()
	for {
		r, err := client.Get(ctx, b.waiters()+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly(),
			clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend))
		if err != nil {
			return err
		}
		if len(r.Kvs) == 0 {
			return b.tidy(ctx)
		}
		first := string(r.Kvs[0].Key)
		switch {
		case first != claim.Key():
			if err := claim.Release(ctx); err != nil {
				return err
			}
			if err := awaitGone(ctx, client, first); err != nil {
				return err
			}
			return b.tidy(ctx)
		case len(r.Kvs) == 1:
			if _, err := client.Delete(ctx, b.ready()); err != nil {
				return err
			}
			return claim.Release(ctx)
		}
		last := string(r.Kvs[len(r.Kvs)-1].Key)
		err = until(ctx, claim, func(ctx context.Context) error { return awaitGone(ctx, client, last) })
		if err != nil {
			return err
		}
	}
}

// tidy deletes the ready key if the process that should have left last could not, since its session
// ended. It does nothing when others are entering again already.
func (b *DoubleBarrier) tidy(ctx context.Context) error {
	_, err := b.s.Client().Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(b.waiters()+"/"), "=", 0).WithPrefix()).
		Then(clientv3.OpDelete(b.ready())).
		Commit()
	return err
}
