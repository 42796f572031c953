package leasing

import (
	"bytes"
	"cmp"
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// Txn begins a transaction. If it does not write, it may be executed from memory.
func (l *leasing) Txn(ctx context.Context) v3.Txn { return &txn{l: l, ctx: ctx} }

type txn struct {
	l                *leasing
	ctx              context.Context
	cmps             []v3.Cmp
	thenOps, elseOps []v3.Op
	step             int                   // 1 after If, 2 after Then, 3 after Else
	steps            []func(v3.Txn) v3.Txn // as they were called
	mistake          bool
}

// next notes that a step was called; each may be called once, in their order.
func (t *txn) next(step int, call func(v3.Txn) v3.Txn) {
	t.mistake = t.mistake || step <= t.step
	t.step = step
	t.steps = append(t.steps, call)
}

func (t *txn) If(cs ...v3.Cmp) v3.Txn {
	t.next(1, func(x v3.Txn) v3.Txn { return x.If() })
	t.cmps = append(t.cmps, cs...)
	return t
}

func (t *txn) Then(ops ...v3.Op) v3.Txn {
	t.next(2, func(x v3.Txn) v3.Txn { return x.Then() })
	t.thenOps = append(t.thenOps, ops...)
	return t
}

func (t *txn) Else(ops ...v3.Op) v3.Txn {
	t.next(3, func(x v3.Txn) v3.Txn { return x.Else() })
	t.elseOps = append(t.elseOps, ops...)
	return t
}

func (t *txn) Commit() (*v3.TxnResponse, error) {
	if t.mistake {
		x := t.l.inner.Txn(t.ctx)
		for _, call := range t.steps {
			x = call(x)
		}
		return x.Commit() // its error says what is wrong
	}
	r, err := t.l.transact(t.ctx, v3.OpTxn(t.cmps, t.thenOps, t.elseOps))
	return r.Txn(), err
}

// transact executes a transaction.
func (l *leasing) transact(ctx context.Context, op v3.Op) (v3.OpResponse, error) {
	spans := make(spans)
	if err := spans.add(op, l.pfx); err != nil {
		return v3.OpResponse{}, err
	}
	if ctx != nil && ctx.Err() == nil {
		if r, ok := l.current(ctx, op); ok && sound(&op) && l.inOrder(op) {
			return (*v3.TxnResponse)(r).OpResponse(), nil
		}
	}
	if len(spans) > 0 {
		return l.write(ctx, request{op: op})
	}
	if l.isClosed() {
		return v3.OpResponse{}, ErrClosed
	}
	return l.do(ctx, op)
}

// inOrder reports whether the transaction is valid, which only the client knows. It asks the client
// with a context that has ended, so that nothing is sent.
func (l *leasing) inOrder(op v3.Op) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := l.inner.Do(ctx, op)
	return err == context.Canceled
}

// current executes a transaction from memory if it can. It reads those of its keys again that may
// be of another history.
func (l *leasing) current(ctx context.Context, op v3.Op) (*pb.TxnResponse, bool) {
	for {
		r, old, ok := l.evaluate(op)
		if old == "" {
			return r, ok
		}
		get := v3.OpGet(old)
		if _, err, done := l.reread(ctx, &get, old); err != nil || !done {
			return nil, false
		}
	}
}

// evaluate executes a transaction from memory if it can: the branch that the comparisons choose
// must only read owned keys. If it cannot since a key may be of another history, it returns that.
func (l *leasing) evaluate(op v3.Op) (r *pb.TxnResponse, old string, ok bool) {
	x := evaluation{l: l}
	l.mu.RLock()
	if x.t = l.term; x.t == nil {
		l.mu.RUnlock()
		return nil, "", false
	}
	x.in = l.history(x.t)
	r, ok = x.txn(op)
	header := x.t.latest
	ok = ok && x.t.latestIn == x.in && header != nil
	l.mu.RUnlock()
	if !ok || !l.holds(x.t, x.in) { // called after the values were read; valid says why
		return nil, x.old, false
	}
	x.header = header
	r.Header = copyHeader(x.header)
	x.finish(r)
	return r, "", true
}

// evaluation is the execution of one transaction from memory, under mu from beginning to end.
type evaluation struct {
	l      *leasing
	t      *tenure // of all owned keys
	in     history // of all keys that were read
	old    string  // a key of an earlier one; "": there is none
	header *pb.ResponseHeader
}

// find returns the value of an owned key, nil if it is absent.
func (x *evaluation) find(key []byte) (*mvccpb.KeyValue, bool) {
	e := x.l.owned[string(key)]
	if e == nil || e.writes > 0 {
		return nil, false
	}
	if e.in != x.in {
		x.old = string(key)
		return nil, false
	}
	return e.kv, true
}

func (x *evaluation) txn(op v3.Op) (*pb.TxnResponse, bool) {
	cmps, ops, elseOps := op.Txn()
	r := &pb.TxnResponse{Succeeded: true}
	for i := range cmps {
		holds, ok := x.holds(cmps[i].GetCompare())
		if !ok {
			return nil, false
		}
		r.Succeeded = r.Succeeded && holds
	}
	if !r.Succeeded {
		ops = elseOps
	}
	for i := range ops {
		out, ok := x.op(&ops[i])
		if !ok {
			return nil, false
		}
		r.Responses = append(r.Responses, out)
	}
	return r, true
}

func (x *evaluation) op(op *v3.Op) (*pb.ResponseOp, bool) {
	if op.IsTxn() {
		r, ok := x.txn(*op)
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: r}}, ok
	}
	if !op.IsGet() || !x.l.plain(op) {
		return nil, false
	}
	kv, ok := x.find(op.KeyBytes())
	if !ok {
		return nil, false
	}
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: answer(kv, nil, op)}}, true
}

// holds executes a comparison as the server does: all numbers of an absent key are 0, and
// comparisons of its value do not hold.
func (x *evaluation) holds(c *pb.Compare) (holds, ok bool) {
	if len(c.RangeEnd) > 0 {
		return false, false
	}
	kv, ok := x.find(c.Key)
	if !ok {
		return false, false
	}
	var order int
	switch c.Target {
	case pb.Compare_VALUE:
		if kv == nil {
			return false, true
		}
		order = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_VERSION:
		order = cmp.Compare(kv.GetVersion(), c.GetVersion())
	case pb.Compare_CREATE:
		order = cmp.Compare(kv.GetCreateRevision(), c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(kv.GetModRevision(), c.GetModRevision())
	case pb.Compare_LEASE:
		order = cmp.Compare(kv.GetLease(), c.GetLease())
	default:
		return false, false
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0, true
	case pb.Compare_NOT_EQUAL:
		return order != 0, true
	case pb.Compare_GREATER:
		return order > 0, true
	case pb.Compare_LESS:
		return order < 0, true
	}
	return false, false
}

// finish sets the header of the response and of the gets in it. The header of a nested transaction
// stays empty, as in the server's answers.
func (x *evaluation) finish(r *pb.TxnResponse) {
	for _, op := range r.Responses {
		if get := op.GetResponseRange(); get != nil {
			get.Header = copyHeader(x.header)
		} else {
			nested := op.GetResponseTxn()
			nested.Header = &pb.ResponseHeader{}
			x.finish(nested)
		}
	}
}
