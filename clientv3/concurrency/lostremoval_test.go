package concurrency_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// losing is a KV whose servers drop deletions without an answer, as servers do in an election.
type losing struct {
	clientv3.KV

	mu     sync.Mutex
	left   int             // how many deletions are still to be lost
	limits []time.Duration // the timeouts of those that were lost
}

func (l *losing) Txn(ctx context.Context) clientv3.Txn {
	return &losingTxn{Txn: l.KV.Txn(ctx), ctx: ctx, l: l}
}

type losingTxn struct {
	clientv3.Txn
	ctx     context.Context
	l       *losing
	deletes bool
}

func (t *losingTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.Txn = t.Txn.If(cs...)
	return t
}

func (t *losingTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.deletes = slices.ContainsFunc(ops, clientv3.Op.IsDelete)
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *losingTxn) Commit() (*clientv3.TxnResponse, error) {
	t.l.mu.Lock()
	lost := t.deletes && t.l.left > 0
	if lost {
		t.l.left--
		end, _ := t.ctx.Deadline()
		t.l.limits = append(t.l.limits, time.Until(end))
	}
	t.l.mu.Unlock()
	if lost {
		<-t.ctx.Done()
		return nil, t.ctx.Err()
	}
	return t.Txn.Commit()
}

// If servers lose the removal of a key, it is soon removed again, since others wait for the lock.
func TestLostRemovalIsRepeatedSoon(t *testing.T) {
	c := clienttest.Dial(t, clienttest.Shared(t).Endpoints()...)
	l := &losing{KV: c.KV, left: 3}
	c.KV = l
	s, err := concurrency.NewSession(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := concurrency.NewMutex(s, t.Name())
	ctx := clienttest.Within(t, clienttest.Long)
	if err := m.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := m.Unlock(short); err == nil {
		t.Fatal("Unlock returned nil although its request was lost")
	}
	clienttest.Await(t, "the key is gone", func() bool {
		r, err := c.Get(ctx, m.Key())
		return err == nil && len(r.Kvs) == 0
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.limits) != 3 || l.limits[1] > time.Second || l.limits[2] > 2*time.Second {
		t.Errorf("the removals waited for %v", l.limits)
	}
}
