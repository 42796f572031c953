package concurrency

// Software transactional memory: a function reads and writes keys as if it were alone. Its reads
// are noted, its writes held back; at the end one transaction writes them if no key that it read
// (and, by isolation, wrote) has changed. Else the function runs again, after a wait that grows
// with contention.
//
// The function runs in a goroutine of its own, which ends when a read fails: Get must not
// return then, and has no error to return. It never outlives NewSTM.

import (
	"context"
	"fmt"
	"runtime"
	"time"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// STM is how a transaction's function reads and writes; see [NewSTM]. Other goroutines must not use
// it, and it must not be used after the function has returned.
type STM interface {
	// Get returns the value of a key, empty if there is none, as this transaction sees it. It reads
	// several keys together, and returns the value of the first one that the transaction itself has
	// put, or else of the first. If reading fails, Get does not return: deferred functions run, and
	// [NewSTM] returns the error.
	Get(key ...string) string
	// Put writes a value when the transaction commits.
	Put(key, val string, opts ...v3.OpOption)
	// Rev returns the mod revision of a key as this transaction read it, whatever the transaction
	// puts; 0 if there is none. It reads the key if need be.
	Rev(key string) int64
	// Del deletes a key when the transaction commits.
	Del(key string)

	// commit writes; nil if there was a conflict, or a failure.
	commit() *v3.TxnResponse
	reset()
}

// Isolation says which changes by others make a transaction run again.
type Isolation int

const (
	// SerializableSnapshot: all reads see the store as it was at the first, and the transaction
	// commits only if no key that it read or wrote has changed since.
	SerializableSnapshot Isolation = iota
	// Serializable: all reads see the store as it was at the first, and the transaction commits
	// only if no key that it read has changed since.
	Serializable
	// RepeatableReads: a key read again has the same value; different keys may be read at different
	// times. The transaction commits only if no key that it read has changed.
	RepeatableReads
	// ReadCommitted: as [RepeatableReads], but the transaction always commits, whatever has
	// changed.
	ReadCommitted
)

type stmOptions struct {
	isolation  Isolation
	ctx        context.Context
	prefetch   []string
	onConflict func(attempt int)
}

// STMOption changes how [NewSTM] works.
type STMOption func(*stmOptions)

// WithIsolation sets the isolation; [SerializableSnapshot] is the default.
func WithIsolation(lvl Isolation) STMOption { return func(o *stmOptions) { o.isolation = lvl } }

// WithAbortContext sets the context that ends the transaction; the default is the client's.
func WithAbortContext(ctx context.Context) STMOption { return func(o *stmOptions) { o.ctx = ctx } }

// WithPrefetch names keys that the function will read; they are read together before it
// runs, which saves a round trip for each.
func WithPrefetch(keys ...string) STMOption {
	return func(o *stmOptions) { o.prefetch = append(o.prefetch, keys...) }
}

// WithOnConflict sets a function that is called after each attempt that met a conflict,
// with its number from 1: to count them.
func WithOnConflict(f func(attempt int)) STMOption { return func(o *stmOptions) { o.onConflict = f } }

// stmWait is the wait between two attempts after conflicts.
var stmWait = backoff.Policy{Base: time.Millisecond, Max: 100 * time.Millisecond}

// NewSTM runs apply as a transaction, again and again until it commits, apply or a read returns an
// error, or the context ends. apply may run several times, so its only effects must be those
// through its [STM]. If the answer to the commit is lost, the error says that the outcome is
// unknown ([v3.OutcomeUnknown]), and apply does not run again.
func NewSTM(c *v3.Client, apply func(STM) error, so ...STMOption) (*v3.TxnResponse, error) {
	o := stmOptions{ctx: c.Ctx()}
	for _, opt := range so {
		opt(&o)
	}
	if o.isolation < SerializableSnapshot || o.isolation > ReadCommitted {
		return nil, fmt.Errorf("concurrency: unknown isolation %d", o.isolation)
	}
	s := newSTM(c, &o)
	for attempt := 1; ; attempt++ {
		s.reset()
		if err := run(s, apply, o.prefetch); err != nil {
			return nil, err
		}
		if r := s.commit(); r != nil || s.failure != nil {
			return r, s.failure
		}
		if o.onConflict != nil {
			o.onConflict(attempt)
		}
		if err := backoff.Sleep(o.ctx, stmWait.Wait(attempt-1)); err != nil {
			return nil, err
		}
	}
}

// outcome is how a run of apply ended.
type outcome struct {
	err      error
	finished bool // it returned
	panicked any
}

// run calls apply in a goroutine of its own, so that a read that fails can end it.
func run(s *stm, apply func(STM) error, prefetch []string) error {
	done := make(chan outcome)
	go func() {
		var o outcome
		defer func() {
			if !o.finished {
				o.panicked = recover()
				o.err = s.failure
			}
			done <- o
		}()
		if len(prefetch) > 0 {
			s.Get(prefetch...)
		}
		o.err = apply(s)
		o.finished = true
	}()
	o := <-done
	switch {
	case o.panicked != nil:
		panic(o.panicked) // the caller's own, where the caller can catch it
	case !o.finished && o.err == nil:
		runtime.Goexit() // apply left its goroutine, as testing's FailNow does
	}
	return o.err
}

// NewSTMRepeatable is [NewSTM] with [RepeatableReads].
//
// Deprecated: use NewSTM with options.
func NewSTMRepeatable(ctx context.Context, c *v3.Client, apply func(STM) error) (*v3.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(RepeatableReads))
}

// NewSTMSerializable is [NewSTM] with [Serializable].
//
// Deprecated: use NewSTM with options.
func NewSTMSerializable(ctx context.Context, c *v3.Client, apply func(STM) error) (*v3.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(Serializable))
}

// NewSTMReadCommitted is [NewSTM] with [ReadCommitted].
//
// Deprecated: use NewSTM with options.
func NewSTMReadCommitted(ctx context.Context, c *v3.Client, apply func(STM) error) (*v3.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(ReadCommitted))
}
