package clientv3

import (
	"bytes"
	"context"
	"iter"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// PutAll writes keys and values, many at once:
//
//	res, err := client.PutAll(ctx, maps.All(settings))
//
// They are sent in transactions of at most 128 keys and 1 MiB, or as few as the server takes,
// up to four at the same time ([WithBulkInFlight]). Each of these chunks is atomic and has one
// revision; the whole is not atomic: others see it grow. If a key comes twice, the later value
// stays. The keys have no lease.
//
// It ends with the first failure, after the chunks that are under way. Then all keys up to
// [BulkResult.Last] are written; those after it may have been too, or may be later if a chunk was
// not answered ([OutcomeUnknown]). The sole writer of the keys can simply begin again
// after Last; with a context of [WithRepeat], PutAll repeats by itself what may have been
// executed. The sequence is read in the caller's goroutine, and not to its end after a failure.
func (c *Client) PutAll(ctx context.Context, kvs iter.Seq2[string, string], opts ...BulkOption) (BulkResult, error) {
	if ctx == nil {
		return BulkResult{}, errNilContext("Client.PutAll")
	}
	b := c.newBulk(ctx, opts)
	defer b.cancel()
	if err := b.o.check("Client.PutAll", "", "WithBulkInFlight"); err != nil {
		return b.res, err
	}
	b.settled = func(c *chunk) {
		b.res.Keys += int64(len(c.ops))
		b.res.Bytes += c.data
	}
	for key, val := range kvs {
		if err := ctx.Err(); err != nil {
			return b.end(err)
		}
		n := len(key) + len(val)
		if err := b.add(OpPut(key, val), key, n, n); err != nil {
			return b.end(err)
		}
	}
	return b.end(nil)
}

// deleteChunk is how many keys one request of DeleteAll removes: few enough for other writers not
// to notice.
const deleteChunk = 1000

// DeleteAll removes the keys that begin with a prefix, all keys if it is empty, without making
// other writers wait as one Delete of very many keys does: a thousand at a time, one request
// after the other. The whole is not atomic.
//
// Each request removes what is in its part of the range at that time, as Delete does: also keys
// that were written since DeleteAll began. Keys written behind it stay.
//
// It ends with the first failure. If [OutcomeUnknown] is true for the error, the part after
// [BulkResult.Last] may have been removed, or may be later. It can simply be called again.
func (c *Client) DeleteAll(ctx context.Context, prefix string, opts ...BulkOption) (BulkResult, error) {
	if ctx == nil {
		return BulkResult{}, errNilContext("Client.DeleteAll")
	}
	b := c.newBulk(ctx, opts)
	defer b.cancel()
	if err := b.o.check("Client.DeleteAll", prefix, "WithBulkAfter"); err != nil {
		return b.res, err
	}
	from, end := b.bounds(prefix)
	remove := func(to, last []byte, size int64) error {
		resp, err := b.kv.Delete(b.ctx, string(from), WithRange(string(to)))
		if err != nil {
			return err
		}
		from = to
		b.res.Keys += resp.Deleted
		b.res.Bytes += size
		b.res.Chunks++
		b.res.Last = string(last)
		if b.o.progress != nil {
			b.o.progress(b.res)
		}
		return nil
	}
	for {
		n, size := 0, int64(0)
		var last []byte
		var failed error
		for kv, err := range c.Range(b.ctx, string(from), WithRange(string(end)), WithKeysOnly()) {
			if failed = err; err != nil {
				break
			}
			last = kv.Key
			size += int64(len(last))
			if n++; n < deleteChunk {
				continue
			}
			if failed = remove(after(last), last, size); failed != nil {
				break
			}
			n, size = 0, 0
		}
		switch {
		case failed == rpctypes.ErrCompacted:
			continue // what is left can be read at a newer revision
		case failed != nil:
			return b.res, failed
		case n > 0:
			return b.res, remove(end, last, size)
		}
		return b.res, nil
	}
}

// bounds is the range of the keys with a prefix, or what is left of it after WithBulkAfter.
func (b *bulk) bounds(prefix string) (from, end []byte) {
	op := OpGet(prefix, WithPrefix())
	from = op.key
	if b.o.after != "" {
		from = after([]byte(b.o.after))
	}
	return from, op.end
}

// CopyPrefix copies the keys that begin with from to keys that begin with to instead: with "a/" and
// "b/", a/x to b/x. It copies the state of one revision, in chunks as [Client.PutAll] does; the
// whole is not atomic. Copies have no lease.
//
// Each key is compared when it is copied: if the source is no longer what was read, or the
// destination was written since that revision, it is a conflict and the key is left alone; see
// [WithBulkConflict]. Without [WithBulkOnlyAbsent] a destination that was there before is
// overwritten. A destination that was written meanwhile but has the right value counts as
// [BulkResult.Equal].
//
// Because of these comparisons it is safe to repeat a chunk whose outcome is unknown, and that is
// done. It ends with the first failure; then the source's keys up to [BulkResult.Last] have been
// dealt with, and it can be called again, with WithBulkAfter(Last) or from the beginning. The
// prefixes must not overlap: neither may begin with the other.
func (c *Client) CopyPrefix(ctx context.Context, from, to string, opts ...BulkOption) (BulkResult, error) {
	const method = "Client.CopyPrefix"
	switch {
	case ctx == nil:
		return BulkResult{}, errNilContext(method)
	case strings.HasPrefix(from, to) || strings.HasPrefix(to, from):
		return BulkResult{}, etcderr.Invalid(method, "the prefixes %q and %q overlap", from, to)
	}
	b := c.newBulk(WithRepeat(ctx), opts)
	defer b.cancel()
	err := b.o.check(method, from, "WithBulkInFlight", "WithBulkAfter", "WithBulkConflict", "WithBulkOnlyAbsent")
	if err != nil {
		return b.res, err
	}
	begin, end := b.bounds(from)
	source := ranging{kv: b.kv, op: OpGet(string(begin))}
	if err := source.pin(b.ctx); err != nil {
		return b.res, err
	}
	rev := source.op.rev
	b.settled = func(c *chunk) { b.copied(c, to, len(from)) }
	b.maxOps = copyOps
	for kv, err := range c.Range(b.ctx, string(begin), WithRange(string(end)), WithRev(rev)) {
		if err != nil {
			return b.end(err)
		}
		src := string(kv.Key)
		dst := to + src[len(from):]
		size := 3*len(dst) + len(src) + len(kv.Value) + 3*opOverhead
		if err := b.add(b.copyOp(kv, dst, rev), dst, len(dst)+len(kv.Value), size); err != nil {
			return b.end(err)
		}
		b.next.from, b.next.last = append(b.next.from, kv), src
	}
	return b.end(nil)
}

// copyOps is how many keys are copied at once: the server counts the two comparisons within a
// nested transaction on top of the operations around it.
const copyOps = chunkOps - 2

// copyOp is a transaction within the chunk's, so that each key is decided on by itself.
func (b *bulk) copyOp(kv *mvccpb.KeyValue, dst string, rev int64) Op {
	untouched := Compare(ModRevision(dst), "<", rev+1) // of a key that does not exist it is 0
	if b.o.onlyAbsent {
		untouched = Compare(CreateRevision(dst), "=", 0)
	}
	return OpTxn(
		[]Cmp{Compare(ModRevision(string(kv.Key)), "=", kv.ModRevision), untouched},
		[]Op{OpPut(dst, string(kv.Value))},
		[]Op{OpGet(dst)},
	)
}

// copied accounts for a chunk; the names of its sources begin with a prefix of n bytes.
func (b *bulk) copied(c *chunk, to string, n int) {
	for i, kv := range c.from {
		src := string(kv.Key)
		dst := to + src[n:]
		var txn *pb.TxnResponse
		if i < len(c.resps) {
			txn = c.resps[i].GetResponseTxn()
		}
		switch {
		case txn.GetSucceeded():
			b.res.Keys++
			b.res.Bytes += int64(len(dst) + len(kv.Value))
		case holds(txn, kv.Value):
			b.res.Equal++
		default:
			b.res.Conflicts++
			if b.o.conflict != nil {
				b.o.conflict(src, dst)
			}
		}
	}
}

// holds: the key that the "else" branch has read has that value.
func holds(txn *pb.TxnResponse, value []byte) bool {
	if len(txn.GetResponses()) != 1 {
		return false
	}
	kvs := txn.Responses[0].GetResponseRange().GetKvs()
	return len(kvs) == 1 && bytes.Equal(kvs[0].Value, value)
}
