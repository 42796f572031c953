package leasing

// Writes. Each is a transaction that is executed only if, for every key that it may write, the
// leasing key is ours or there is none. Otherwise the same transaction asks the owners in the way
// to give their keys up, and is sent again when they have.
//
// No process holds keys while it waits: owners give keys up at once, whatever else they do. So two
// processes that need each other's keys do not wait for ever.

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// again is the wait before the repetition of a write that failed although no owner was in its way.
var again = backoff.Policy{Base: time.Millisecond, Max: 100 * time.Millisecond}

// write executes a write.
func (l *leasing) write(ctx context.Context, req request) (v3.OpResponse, error) {
	op := req.op
	if ctx == nil || !op.IsPut() && !op.IsDelete() && !op.IsTxn() || !op.IsTxn() && len(op.KeyBytes()) == 0 {
		return l.inner.Do(ctx, op) // its error says what is wrong
	}
	spans := make(spans)
	if err := spans.add(op, l.pfx); err != nil {
		return v3.OpResponse{}, err
	}
	w := newWaiter()
	defer l.forget(w)
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return v3.OpResponse{}, err
		}
		a, err := l.plan(req, spans, w)
		if err != nil {
			return v3.OpResponse{}, err
		}
		r, blocked, err := l.try(ctx, a)
		if err != nil || blocked == nil {
			return r, err
		}
		if len(blocked.keys) > 0 {
			err = l.await(ctx, w, blocked)
		} else {
			err = backoff.Sleep(ctx, again.Wait(n))
		}
		if err != nil {
			return v3.OpResponse{}, err
		}
	}
}

// plan finds out who owns the keys, notes that writes of our own ones are under way, and begins to
// collect the deletions that w waits for.
func (l *leasing) plan(req request, spans spans, w *waiter) (*attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	a := newAttempt(req)
	for s := range spans {
		if s.end != "" {
			for key, e := range l.owned {
				if s.covers(key) || s.covers(l.leasingKey(key)) {
					l.relinquish(key, e)
				}
			}
			a.guards = l.rangeGuards(a.guards, s)
			continue
		}
		g := guard{key: s.key, lk: l.leasingKey(s.key), e: l.owned[s.key]}
		// In the first case its new value could not be read back, in the other it may be another's.
		if g.e != nil && (len(a.ops)+len(a.owned) >= serverOps || g.e.in != l.history(g.e.t)) {
			l.relinquish(s.key, g.e)
			g.e = nil
		}
		if g.e != nil {
			g.in = g.e.in
			g.e.writes++
			a.owned = append(a.owned, len(a.guards))
		}
		a.guards = append(a.guards, g)
	}
	w.guards = a.guards
	l.waiters[w] = struct{}{}
	return a, nil
}

// rangeGuards adds guards for the leasing keys of a range, and for each owned key in it.
func (l *leasing) rangeGuards(list []guard, s span) []guard {
	g := guard{lk: l.leasingKey(s.key), end: l.leasingKey(s.end)}
	if s.end == endOfKeys {
		g.end = l.pfxEnd
	}
	list = append(list, g)
	in := guard{lk: max(s.key, l.pfx), end: s.end}
	if s.end == endOfKeys || l.pfxEnd != endOfKeys && l.pfxEnd < s.end {
		in.end = l.pfxEnd
	}
	if in.end == endOfKeys || in.lk < in.end {
		list = append(list, in)
	}
	return list
}

// try sends the write once. blocked is nil if the write was executed or failed.
func (l *leasing) try(ctx context.Context, a *attempt) (r v3.OpResponse, blocked *blocked, err error) {
	out, err := l.do(ctx, a.txn())
	if err != nil {
		l.settle(a, nil, nil, v3.OutcomeUnknown(err))
		return r, nil, err
	}
	answer := out.Txn()
	if !answer.Succeeded {
		l.settle(a, nil, nil, false)
		blocked, err = l.inTheWay(ctx, a, answer)
		return r, blocked, err
	}
	l.settle(a, answer.Responses[len(a.ops):], answer.Header, false)
	return a.response(answer.Responses[:len(a.ops):len(a.ops)], answer.Header), nil, nil
}

// settle ends a try. Owned keys get the values that the gets after the write found. If the write
// may have been executed without an answer, their values are not known any more.
func (l *leasing) settle(a *attempt, gets []*pb.ResponseOp, header *pb.ResponseHeader, unknown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, i := range a.owned {
		g := a.guards[i]
		g.e.writes--
		if l.owned[g.key] != g.e {
			continue
		}
		if unknown {
			l.relinquish(g.key, g.e)
		}
		if gets == nil {
			continue
		}
		var kv *mvccpb.KeyValue
		if kvs := gets[n].GetResponseRange().GetKvs(); len(kvs) > 0 {
			kv = proto.Clone(kvs[0]).(*mvccpb.KeyValue) // so that the rest of the answer can be freed
			if a.bare {
				// The answer does not have the lease either, since a plain put attaches none.
				kv.Value = append([]byte(nil), a.op.ValueBytes()...)
			}
		}
		l.learn(g.key, g.e, kv, header, g.in)
	}
}

// blocked is the reason why a write was not executed.
type blocked struct {
	keys map[string]struct{} // leasing keys in the way; all may be gone by now
	rev  int64               // as of this revision
}

// inTheWay reads the leasing keys in the way, and asks those owners that the transaction has not
// asked.
func (l *leasing) inTheWay(ctx context.Context, a *attempt, answer *v3.TxnResponse) (*blocked, error) {
	b := &blocked{keys: make(map[string]struct{}), rev: answer.Header.GetRevision()}
	var ask []string
	l.mu.Lock()
	for i := range a.guards {
		g := &a.guards[i]
		found := answer.Responses[i].GetResponseRange()
		if t := answer.Responses[i].GetResponseTxn(); t != nil {
			found = t.Responses[len(t.Responses)-1].GetResponseRange()
		}
		if g.e != nil {
			if kvs := found.GetKvs(); (len(kvs) == 0 || kvs[0].CreateRevision != g.e.fence) && l.owned[g.key] == g.e {
				l.drop(g.key, g.e)
			}
			continue
		}
		for _, kv := range found.GetKvs() {
			lk := string(kv.Key)
			if _, seen := b.keys[lk]; seen {
				continue // it is in two ranges
			}
			b.keys[lk] = struct{}{}
			if kv.Lease == 0 {
				l.mu.Unlock()
				return nil, fmt.Errorf("%w: %q", ErrForeignKey, lk)
			}
			if !g.asks(len(a.guards)) && string(kv.Value) != revoked &&
				!slices.Contains(l.leaving[lk[len(l.pfx):]], kv.CreateRevision) {
				ask = append(ask, lk)
			}
		}
	}
	l.mu.Unlock()
	for batch := range slices.Chunk(ask, perTxn) {
		ops := make([]v3.Op, len(batch))
		for i, lk := range batch {
			ops[i] = revoke(lk)
		}
		if _, err := l.inner.Do(ctx, v3.OpTxn(nil, ops, nil)); err != nil {
			return nil, err
		}
	}
	return b, nil
}
