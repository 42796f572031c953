package clientv3

import (
	"context"
	"iter"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/retry"
)

// Range reads the keys that begin with a prefix, in the order of keys, at one revision and in
// bounded memory, however many they are:
//
//	for kv, err := range client.Range(ctx, "orders/") {
//		if err != nil {
//			return err
//		}
//		...
//	}
//
// An empty prefix stands for all keys. [WithRange] or [WithFromKey] among the options make it
// another range that begins with the key given.
//
// All keys are of one revision, which is that of [WithRev] or else the latest when the loop begins;
// what is written meanwhile does not show. Another loop over the result reads again, at a revision
// of its own. The result may be used by several goroutines at once.
//
// Options: [WithRev], [WithLimit], [WithKeysOnly], [WithSerializable] (the members that answer may
// lag behind), the filters by revision, and ascending [WithSort] by key, which changes nothing.
// Others are errors with code InvalidArgument: a result in another order has to be collected first,
// which is what Get does.
//
// A failure is yielded once, with a nil key, and ends the loop. A broken connection or a failing
// member is no failure: reading goes on after the last key, on another member if there is one; it
// fails after three attempts in a row that brought nothing, each repeated as a Get is.
// rpctypes.ErrCompacted says that the revision was compacted meanwhile, so that the rest cannot be
// read any more. When ctx ends, the loop ends with the context's error. With [Config.FailFast] or
// [WithFailFast] it fails when no member is available.
//
// It reads through c.KV, from servers that can (3.7) as a stream and from others in pages,
// somewhat ahead of the loop: up to four portions of about 2 MiB, or of a few keys if those are
// larger. A key that is kept holds up to 16 KiB beyond itself; see [CloneKeyValue]. Leaving
// the loop releases everything at once.
func (c *Client) Range(ctx context.Context, prefix string, opts ...OpOption) iter.Seq2[*mvccpb.KeyValue, error] {
	op := OpGet(prefix, opts...)
	if op.end == nil {
		WithPrefix()(&op)
	}
	return func(yield func(*mvccpb.KeyValue, error) bool) {
		if err := rangeable(ctx, &op); err != nil {
			yield(nil, err)
			return
		}
		r := ranging{kv: c.KV, op: op, yield: yield}
		// The key and the end say it all; a KV that is not ours must not look for more.
		r.op.isOptsWithPrefix, r.op.isOptsWithFromKey = false, false
		if err := r.run(ctx); err != nil {
			yield(nil, err)
		}
	}
}

// rangeable says why op cannot be iterated over; nil if it can.
func rangeable(ctx context.Context, op *Op) error {
	const method = "Client.Range"
	if err := ready(ctx, method, op); err != nil {
		return err
	}
	switch {
	case op.countOnly:
		return etcderr.Invalid(method, "WithCountOnly leaves no keys to iterate over; use Get")
	case op.sort != nil && op.sort.Order != SortNone && *op.sort != (SortOption{SortByKey, SortAscend}):
		return etcderr.Invalid(method, "the result is in the ascending order of keys; for another one use Get")
	}
	return ctx.Err()
}

// Attempts without progress. Each begins again, until its first message, for as long as a read
// is repeated, which is longer than an election.
const (
	rangeAttempts = 3
	rangeWaitBase = 100 * time.Millisecond
	rangeWaitMax  = time.Second
)

// ranging is one loop.
type ranging struct {
	kv      KV
	op      Op // what is left to read
	learned bool
	yield   func(*mvccpb.KeyValue, error) bool
	left    bool // the loop was left
}

// run reads the range, in as many attempts as it takes.
func (r *ranging) run(ctx context.Context) error {
	wait := backoff.Policy{Base: rangeWaitBase, Max: rangeWaitMax}
	if err := r.pin(ctx); err != nil {
		return err
	}
	for failures := 0; ; failures++ {
		progress, err := r.attempt(ctx)
		if err == nil || r.left {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if progress {
			failures = 0
		}
		if failures+1 >= rangeAttempts || !r.goesOn(err) {
			return err
		}
		if err := backoff.Sleep(ctx, wait.Wait(failures)); err != nil {
			return err
		}
	}
}

// pin learns the revision to read at. A stream names it at its end only.
func (r *ranging) pin(ctx context.Context) error {
	if r.op.rev > 0 {
		return nil
	}
	// One key, but written as a range: a KV that answers single keys by itself passes it on.
	resp, err := r.kv.Get(ctx, string(r.op.key), func(o *Op) {
		o.end, o.limit, o.keysOnly, o.serializable = after(o.key), 1, true, r.op.serializable
	})
	if err != nil {
		return err
	}
	if r.op.rev = resp.Header.GetRevision(); r.op.rev <= 0 {
		return &etcderr.Error{Method: "Client.Range", Status: codes.DataLoss, Reason: "the server named no revision"}
	}
	r.learned = true
	return nil
}

// attempt reads what is left, until a failure: as a stream, or page by page what a stream cannot
// deliver. Nobody remembers which members can stream, as a cluster may be mixed.
func (r *ranging) attempt(ctx context.Context) (progress bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	progress, err = r.stream(ctx)
	if etcderr.Code(err) == codes.Unimplemented || tooLargeToReceive(err) {
		var more bool
		more, err = r.pages(ctx)
		progress = progress || more
	}
	return progress, err
}

// ask makes an option that turns the Op of r.kv's method, whatever key that method gives
// it, into op.
func ask(op Op) OpOption {
	return func(o *Op) {
		key := o.key
		*o = op
		o.key = key
	}
}

func (r *ranging) stream(ctx context.Context) (progress bool, err error) {
	ctx, cancel := context.WithCancel(retry.WithStreamOptions(ctx, retry.StreamOptions{Resume: true}))
	stream, err := r.kv.GetStream(ctx, string(r.op.key), ask(r.op))
	if err != nil {
		cancel()
		return false, err
	}
	defer func() {
		cancel()
		for range stream { // it is closed at once; then all is released
		}
	}()
	for chunk := range stream {
		if chunk.err != nil {
			return progress, chunk.err
		}
		progress = progress || len(chunk.Kvs) > 0
		if !r.deliver(chunk.Kvs) {
			return true, nil
		}
		if done := r.pass(chunk.Kvs, len(chunk.Kvs)); done || chunk.Header != nil {
			return progress, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return progress, err
	}
	return progress, &etcderr.Error{
		Method: "KV.RangeStream",
		Status: codes.Unavailable,
		Reason: "the stream ended without its last chunk",
	}
}

// deliver hands out keys; false: the loop was left.
func (r *ranging) deliver(kvs []*mvccpb.KeyValue) bool {
	for _, kv := range kvs {
		if !r.yield(kv, nil) {
			r.left = true
			return false
		}
	}
	return true
}

// pass takes note that keys were read and some of them delivered, and reports that there is
// nothing left.
func (r *ranging) pass(kvs []*mvccpb.KeyValue, delivered int) (done bool) {
	if len(kvs) == 0 {
		return false
	}
	if len(r.op.end) == 0 {
		return true
	}
	r.op.key = after(kvs[len(kvs)-1].Key)
	if r.op.limit > 0 {
		if r.op.limit -= int64(delivered); r.op.limit <= 0 {
			return true
		}
	}
	return !inRange(r.op.key, r.op.end)
}

// goesOn: after err, another attempt makes sense.
func (r *ranging) goesOn(err error) bool {
	if err == rpctypes.ErrFutureRev {
		return r.learned // from a member that is ahead of this one
	}
	if SafeToRetry(err) && etcderr.Code(err) == codes.Unavailable && etcderr.Known(err) == nil {
		return false // there was no member, and the caller does not wait for one
	}
	switch etcderr.ClassOf(err) {
	case etcderr.Broken,
		etcderr.NoQuorum,
		etcderr.Moved,
		etcderr.NoLeader,
		etcderr.Overload,
		etcderr.Learner,
		etcderr.Token:
		return true
	case etcderr.Ended:
		return true // not by the caller: whoever ended it, the range has not ended
	}
	// A connection that broke within a message.
	return etcderr.Code(err) == codes.Internal && etcderr.Known(err) == nil
}
