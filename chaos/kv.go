package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// The keys of the clients. Most keys are shared, and few, so that the clients compete.
const (
	kvScope    = space + "kv/"
	markScope  = space + "mark/" // what deletes write
	idleScope  = space + "idle/" // written rarely
	leaseScope = space + "lease/"
	sharedKeys = 10
)

// dial makes a client in its default configuration, except for hooks that only observe.
func dial(endpoints []string, hooks clientv3.Hooks) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, Username: chaosUser, Password: chaosPasswd,
		DialTimeout: dialTimeout, Logger: zap.NewNop(), Hooks: hooks,
	})
}

// dialTimeout bounds how long New waits for a token.
const dialTimeout = 5 * time.Second

// longest is the longest time that a call may take: enough to find a silent member and then for an
// election.
const longest = 5 * time.Second

// worker is one client that makes one call after the other.
type worker struct {
	id        int
	endpoints []string
	clock     history.Clock
	diary     *diary
	rnd       *rand.Rand
	think     time.Duration // mean time between two calls
	reopen    time.Duration // how often the client is replaced by a new one

	client   *clientv3.Client // nil while no attempt to make one has succeeded
	caller   caller           // made with client
	copied   int              // reads that a cache answered
	last     map[string]int64 // the last modification revision that it saw of each key
	n        int              // number of values made
	opened   time.Duration    // when client was made
	after    aftermath
	ops      []history.Op
	closes   []time.Duration // how long each Close took
	errs     []error         // of Close
	unopened []unopened
}

// aftermath counts what a worker did after everything was healed.
type aftermath struct {
	healed      atomic.Bool
	reads, puts tries
}

// tries counts calls of one sort, and those that succeeded.
type tries struct{ made, succeeded atomic.Int32 }

// enoughTries is how many failed calls of one sort, without a success, show that a client no
// longer works.
const enoughTries = 5

func (t *tries) enough() bool { return t.succeeded.Load() > 0 || t.made.Load() >= enoughTries }

// count counts a call that ended. A failure after less than a second says nothing.
func (a *aftermath) count(o *history.Op, limit time.Duration) {
	t := &a.reads
	if o.Kind.Writes() {
		t = &a.puts
	}
	switch {
	case o.Serializable:
	case o.Outcome == history.OK:
		t.succeeded.Add(1)
	case limit >= time.Second:
		t.made.Add(1)
	}
}

// tested reports whether the worker has shown that it works again or that it does not. This takes
// longer on a busy machine.
func (a *aftermath) tested() bool { return a.reads.enough() && a.puts.enough() }

// run makes calls until ctx ends.
func (w *worker) run(ctx context.Context) {
	w.last = make(map[string]int64)
	defer w.close()
	for ctx.Err() == nil {
		if w.client == nil || w.clock.Now()-w.opened > w.reopen {
			w.replace()
			continue
		}
		w.one(ctx)
		pause(ctx, time.Duration(w.rnd.Int64N(int64(2*w.think))))
	}
}

// unopened is an attempt to make a client that failed.
type unopened struct {
	from, to time.Duration
	err      error
}

// tooLate returns an error if the attempt ended long after the dial timeout. Timers that fired late
// in this process are no fault of the client's.
func (u unopened) tooLate(late history.Lateness) error {
	took := u.to - u.from
	if took <= dialTimeout+time.Second+late.Max(u.from, u.to) {
		return nil
	}
	return fmt.Errorf("making a client took %v with a dial timeout of %v: %w", took, dialTimeout, u.err)
}

// replace makes a new client, possibly during a fault.
func (w *worker) replace() {
	w.close()
	begin := w.clock.Now()
	c, err := dial(w.endpoints, w.diary.hooks(w.id))
	w.opened = w.clock.Now()
	if err != nil {
		w.unopened = append(w.unopened, unopened{begin, w.opened, err})
		return
	}
	w.client = c
	if w.caller, err = newCaller(c, wayOf(w.id)); err != nil {
		w.errs = append(w.errs, err)
	}
}

func (w *worker) close() {
	if w.client == nil {
		return
	}
	begin := w.clock.Now()
	w.copied -= w.caller.forwarded()
	if err := errors.Join(w.caller.close(), w.client.Close()); err != nil {
		w.errs = append(w.errs, fmt.Errorf("closing a client: %w", err))
	}
	w.closes = append(w.closes, w.clock.Now()-begin)
	w.client = nil
}

// one makes one call of a random kind.
func (w *worker) one(ctx context.Context) {
	w.n++
	o := history.Op{
		ID: w.id*1_000_000 + w.n, Client: w.id,
		Keys: []string{fmt.Sprintf("%s%d", kvScope, w.rnd.IntN(sharedKeys))},
	}
	switch p := w.rnd.IntN(100); {
	case p < 35:
		o.Kind = history.Get
	case p < 40:
		o.Kind, o.Serializable = history.Get, true
	case p < 45:
		o.Kind, o.Keys = history.Range, []string{kvScope}
	case p < 65:
		o.Kind = history.Put
	case p < 66:
		o.Kind, o.Keys[0] = history.Put, idleScope+"key"
	case p < 75:
		o.Kind = history.PutAll
		if other := fmt.Sprintf("%s%d", kvScope, w.rnd.IntN(sharedKeys)); other != o.Keys[0] {
			o.Keys = append(o.Keys, other)
		}
	case p < 80:
		o.Kind, o.Keys = history.Delete, append(o.Keys, fmt.Sprintf("%s%d", markScope, w.id))
	default:
		o.Kind, o.Expect = history.CAS, w.last[o.Keys[0]]
	}
	if o.Kind.Writes() {
		o.Value = fmt.Sprintf("%d-%d", w.id, w.n)
	}
	limit := []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second, longest}[w.rnd.IntN(4)]
	var cctx context.Context
	var cancel context.CancelFunc
	if w.rnd.IntN(10) == 0 { // cancelled by hand, soon enough to hit calls under way
		cctx, cancel = context.WithCancel(ctx)
		if w.rnd.IntN(4) == 0 {
			limit = time.Duration(w.rnd.Int64N(int64(10 * time.Millisecond)))
		}
		stop := time.AfterFunc(limit, cancel)
		defer stop.Stop()
	} else {
		cctx, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	healed := w.after.healed.Load()
	o.Call = w.clock.Now()
	o.Deadline = o.Call + limit
	err := w.caller.call(cctx, &o)
	o.Return = w.clock.Now()
	settle(&o, err)
	if ctx.Err() != nil {
		o.Deadline = 0 // the end of the run ended it, not the call's context
	}
	if healed {
		w.after.count(&o, limit)
	}
	if w.caller.copy != nil && o.Outcome == history.OK && !o.Kind.Writes() && !o.Serializable {
		w.copied++
	}
	w.learn(&o)
	w.ops = append(w.ops, o)
}

// learn remembers revisions for the next compare-and-set.
func (w *worker) learn(o *history.Op) {
	if o.Outcome != history.OK || o.Kind == history.Range {
		return
	}
	switch {
	case o.Kind == history.Delete:
		w.last[o.Keys[0]] = 0
	case o.Kind == history.Put, o.Kind == history.PutAll, o.Applied:
		for _, k := range o.Keys {
			w.last[k] = o.Rev
		}
	case len(o.Saw) > 0:
		w.last[o.Keys[0]] = o.Saw[0].ModRev
	default:
		w.last[o.Keys[0]] = 0
	}
}

// settle sets the outcome of an operation.
func settle(o *history.Op, err error) {
	o.Outcome = history.OK
	if err == nil {
		return
	}
	o.Err = err.Error()
	o.Outcome = history.Failed
	if o.Kind.Writes() && clientv3.OutcomeUnknown(err) {
		o.Outcome = history.Unknown
	}
}

// call makes the call and stores its answer.
func (c *caller) call(ctx context.Context, o *history.Op) error {
	key := c.name(o.Keys[0])
	switch o.Kind {
	case history.Get, history.Range:
		var opts []clientv3.OpOption
		if o.Kind == history.Range {
			opts = append(opts, clientv3.WithPrefix())
		}
		if o.Serializable {
			opts = append(opts, clientv3.WithSerializable())
		}
		r, err := c.kv.Get(ctx, key, opts...)
		if err != nil {
			return err
		}
		o.Rev, o.Saw = r.Header.Revision, c.kvs(r.Kvs)
	case history.Put:
		r, err := c.kv.Put(ctx, key, o.Value)
		if err != nil {
			return err
		}
		o.Rev = r.Header.Revision
	case history.PutAll:
		var ops []clientv3.Op
		for _, k := range o.Keys {
			ops = append(ops, clientv3.OpPut(c.name(k), o.Value))
		}
		r, err := c.kv.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return err
		}
		o.Rev = r.Header.Revision
	case history.Delete:
		r, err := c.kv.Txn(ctx).
			Then(clientv3.OpDelete(key, clientv3.WithPrevKV()), clientv3.OpPut(c.name(o.Keys[1]), o.Value)).
			Commit()
		if err != nil {
			return err
		}
		o.Rev, o.Saw = r.Header.Revision, c.kvs(r.Responses[0].GetResponseDeleteRange().PrevKvs)
	case history.CAS:
		if c.stm {
			return c.compareAndSet(ctx, o)
		}
		r, err := c.kv.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", o.Expect)).
			Then(clientv3.OpPut(key, o.Value)).Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return err
		}
		o.Rev, o.Applied = r.Header.Revision, r.Succeeded
		if !r.Succeeded {
			o.Saw = c.kvs(r.Responses[0].GetResponseRange().Kvs)
		}
	}
	return nil
}

func (c *caller) kvs(list []*mvccpb.KeyValue) []history.KV {
	var out []history.KV
	for _, kv := range list {
		out = append(out, history.KV{Key: c.under + string(kv.Key), Value: string(kv.Value), ModRev: kv.ModRevision})
	}
	slices.SortFunc(out, func(a, b history.KV) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return out
}
