// Package ordering keeps a client from going back in time. One member answers a serializable read
// from its own state. A member that lags behind, or is cut off from the others, may have an older
// state than an earlier answer has shown. The KV of this package remembers the greatest revision
// that it has seen and notices older answers:
//
//	cli.KV = ordering.NewKV(cli.KV, ordering.NewOrderViolationSwitchEndpointClosure(cli))
//
// An [OrderViolationFunc] decides what happens then: the call returns its error, or, if that is
// nil, asks again. An answer counts as older only if its call began after the greater revision was
// seen. Linearizable reads and writes are never older; their revisions are remembered too. But if
// etcd is restored from a backup with a lower revision, all answers are older: reads of any kind
// fail then, as with the official package, until etcd comes to the remembered revision again.
//
// Everything that this package returns is safe for concurrent use.
package ordering

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/internal/response"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// ErrNoGreaterRev is returned when no reachable member has the revision that an earlier answer has
// shown.
var ErrNoGreaterRev = errors.New(
	"etcdclient: no cluster members have a revision higher than the previously received revision",
)

// OrderViolationFunc decides what happens when a read, op, gets an answer, resp, of a revision
// below prevRev, which had been seen before op began. If it returns an error, so does the call. If
// it returns nil, the call asks again, and calls the function again if the answer is still older.
// Several goroutines may call it at once.
//
// When a member that lags behind has refused a GetStream, resp is an empty response to a get, with
// revision 0.
type OrderViolationFunc func(op clientv3.Op, resp clientv3.OpResponse, prevRev int64) error

// NewKV returns a KV over kv that notices answers older than earlier ones. Before it asks again, it
// waits 10 ms at first and at most 250 ms, and makes a linearizable read of the same key for at
// most a second. That read shows the client which members are cut off, so that it asks others. If
// the function always returns nil, the call goes on until its context ends. Without a function the
// error for an older answer is [ErrNoGreaterRev].
//
// Transactions that write are never repeated.
func NewKV(kv clientv3.KV, orderViolationFunc OrderViolationFunc) clientv3.KV {
	if orderViolationFunc == nil {
		orderViolationFunc = func(clientv3.Op, clientv3.OpResponse, int64) error { return ErrNoGreaterRev }
	}
	return &orderedKV{KV: kv, violated: orderViolationFunc}
}

type orderedKV struct {
	clientv3.KV
	violated OrderViolationFunc
	seen     atomic.Int64 // the greatest revision of any answer
}

func (o *orderedKV) saw(rev int64) {
	for {
		old := o.seen.Load()
		if rev <= old || o.seen.CompareAndSwap(old, rev) {
			return
		}
	}
}

func (o *orderedKV) Put(
	ctx context.Context,
	key, val string,
	opts ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	r, err := o.Do(ctx, clientv3.OpPut(key, val, opts...))
	return r.Put(), err
}

func (o *orderedKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := o.Do(ctx, clientv3.OpGet(key, opts...))
	return r.Get(), err
}

func (o *orderedKV) Delete(
	ctx context.Context,
	key string,
	opts ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	r, err := o.Do(ctx, clientv3.OpDelete(key, opts...))
	return r.Del(), err
}

func (o *orderedKV) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	return o.ask(ctx, op, func() (clientv3.OpResponse, error) { return o.KV.Do(ctx, op) })
}

// ask executes op until its answer is not older than what was seen when it began.
func (o *orderedKV) ask(
	ctx context.Context,
	op clientv3.Op,
	do func() (clientv3.OpResponse, error),
) (clientv3.OpResponse, error) {
	prev := o.seen.Load()
	for n := 0; ; n++ {
		r, err := do()
		if err != nil {
			return clientv3.OpResponse{}, err
		}
		h := response.Header(r)
		if h == nil || h.Revision >= prev || writes(op) {
			o.saw(h.GetRevision())
			return r, nil
		}
		if err := o.violated(op, r, prev); err != nil {
			return clientv3.OpResponse{}, err
		}
		if err := o.catchUp(ctx, op, n); err != nil {
			return clientv3.OpResponse{}, err
		}
	}
}

const (
	// waitBase and waitMax bound the wait before asking again. A member that merely lags catches up
	// within milliseconds.
	waitBase = 10 * time.Millisecond
	waitMax  = 250 * time.Millisecond
	// catchUpTime bounds the linearizable read in between, which may find no quorum.
	catchUpTime = time.Second
)

func (o *orderedKV) catchUp(ctx context.Context, op clientv3.Op, n int) error {
	if err := backoff.Sleep(ctx, backoff.Policy{Base: waitBase, Max: waitMax}.Wait(n)); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	// The answer is not needed. If there is none, the client learns that it should not ask this
	// member.
	_, _ = o.KV.Get(bounded, firstKey(op), clientv3.WithCountOnly())
	return ctx.Err()
}

// firstKey returns a key that op reads. A user who may do op may read it.
func firstKey(op clientv3.Op) string {
	switch cmps, thenOps, elseOps := op.Txn(); {
	case len(cmps) > 0:
		return string(cmps[0].KeyBytes())
	case len(thenOps) > 0:
		return firstKey(thenOps[0])
	case len(elseOps) > 0:
		return firstKey(elseOps[0])
	}
	return string(op.KeyBytes())
}

// writes reports whether op can write, so that the cluster has to agree on it.
func writes(op clientv3.Op) bool {
	if !op.IsTxn() {
		return !op.IsGet()
	}
	_, thenOps, elseOps := op.Txn()
	for _, ops := range [][]clientv3.Op{thenOps, elseOps} {
		for _, op := range ops {
			if writes(op) {
				return true
			}
		}
	}
	return false
}

func (o *orderedKV) Txn(ctx context.Context) clientv3.Txn {
	return &orderedTxn{kv: o, ctx: ctx, inner: o.KV.Txn(ctx)}
}

type orderedTxn struct {
	kv    *orderedKV
	ctx   context.Context
	inner clientv3.Txn

	cmps             []clientv3.Cmp
	thenOps, elseOps []clientv3.Op
}

func (t *orderedTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.inner, t.cmps = t.inner.If(cs...), cs
	return t
}

func (t *orderedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.inner, t.thenOps = t.inner.Then(ops...), ops
	return t
}

func (t *orderedTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.inner, t.elseOps = t.inner.Else(ops...), ops
	return t
}

func (t *orderedTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.kv.ask(t.ctx, clientv3.OpTxn(t.cmps, t.thenOps, t.elseOps), func() (clientv3.OpResponse, error) {
		r, err := t.inner.Commit()
		if err != nil {
			return clientv3.OpResponse{}, err
		}
		return r.OpResponse(), nil
	})
	return r.Txn(), err
}
