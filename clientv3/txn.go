package clientv3

import (
	"context"
	"sync"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Txn is a transaction: if all comparisons hold, the "then" operations are
// executed, else the "else" operations; all at one revision, or none.
//
//	resp, err := cli.Txn(ctx).
//		If(clientv3.Compare(clientv3.ModRevision("config"), "=", rev)).
//		Then(clientv3.OpPut("config", "new")).
//		Else(clientv3.OpGet("config")).
//		Commit()
//
// If, Then and Else may each be called once, in this order. A mistake in the
// transaction is reported by Commit, which sends nothing then.
type Txn interface {
	// If takes the comparisons. Without any, the "then" operations are executed.
	If(cs ...Cmp) Txn

	// Then takes the operations for the case that all comparisons hold.
	Then(ops ...Op) Txn

	// Else takes the operations for the case that some comparison does not hold.
	Else(ops ...Op) Txn

	// Commit executes the transaction. It may be called again, which executes it
	// again.
	Commit() (*TxnResponse, error)
}

type txn struct {
	kv  *kv
	ctx context.Context

	mu       sync.Mutex // guards all below
	cmps     []Cmp
	thenOps  []Op
	elseOps  []Op
	haveIf   bool
	haveThen bool
	haveElse bool
	err      error // the first mistake
}

func (t *txn) mistake(text string) {
	if t.err == nil {
		t.err = etcderr.Invalid("KV.Txn", "%s", text)
	}
}

func (t *txn) If(cs ...Cmp) Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.haveIf:
		t.mistake("If was called twice")
	case t.haveThen:
		t.mistake("If was called after Then")
	case t.haveElse:
		t.mistake("If was called after Else")
	}
	t.haveIf = true
	t.cmps = append(t.cmps, cs...)
	return t
}

func (t *txn) Then(ops ...Op) Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.haveThen:
		t.mistake("Then was called twice")
	case t.haveElse:
		t.mistake("Then was called after Else")
	}
	t.haveThen = true
	t.thenOps = append(t.thenOps, ops...)
	return t
}

func (t *txn) Else(ops ...Op) Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.haveElse {
		t.mistake("Else was called twice")
	}
	t.haveElse = true
	t.elseOps = append(t.elseOps, ops...)
	return t
}

func (t *txn) Commit() (*TxnResponse, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return nil, t.err
	}
	op := OpTxn(t.cmps, t.thenOps, t.elseOps)
	if err := ready(t.ctx, "KV.Txn", &op); err != nil {
		return nil, err
	}
	return t.kv.txn(t.ctx, op.toTxnRequest())
}
