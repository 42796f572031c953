package cache

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Get implements [clientv3.KV]. It answers a get on one key, or on a range within one prefix of the
// cache, from the copy. All options work as in etcd: limit, sorting, keys or count only, bounds on
// revisions. The response's revision is that of the copy.
//
// By default the answer has everything that was written before Get was called: Get reads a revision
// from the quorum and waits until the copy has reached it; reads at the same time share this. If
// the copy does not get there within a tenth of a second (the member that serves the watch has
// failed, or the server is too old to say how far it is), the read is sent to etcd. With
// [clientv3.WithSerializable] Get answers at once from the copy, also during an outage;
// [Cache.States] says how old the copy is.
//
// Get also sends to etcd: reads of keys outside the cache's prefixes and of ranges that are not
// within one prefix, reads with [clientv3.WithRev] for another revision than the copy's, options
// that do not go together, and every read before the cache is ready.
//
// The key-values of a response are the copy's own and shared: do not change them. Those of
// [clientv3.WithKeysOnly] share the keys. They may be kept.
func (c *Cache) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	var q query
	at, ours := key, true
	if len(opts) > 0 {
		at, ours = q.parse(key, opts)
	}
	if ours {
		v, err := c.versionFor(ctx, at, &q)
		if err != nil {
			return nil, err
		}
		if v != nil {
			return v.get(at, &q), nil
		}
	}
	// A copy, so that the caller's slice need not be allocated when the copy answers.
	return c.kv.Get(ctx, key, append([]clientv3.OpOption(nil), opts...)...)
}

// versionFor returns the version to answer q from, nil if etcd has to answer.
func (c *Cache) versionFor(ctx context.Context, key string, q *query) (*version, error) {
	if ctx == nil || key == "" {
		return nil, nil // the client returns the error
	}
	if c.closed.Load() {
		return nil, errClosed("KV.Range")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var f *feed
	if q.end == "" {
		f = find(c.feeds, key)
	} else {
		f = findRange(c.feeds, spanOf(key, q.end))
	}
	if f == nil {
		return nil, nil
	}
	v := f.now.Load()
	switch {
	case v == nil:
		return nil, nil
	case q.rev != 0 && (q.rev != v.rev || !q.serializable):
		return nil, nil
	case q.serializable:
		return v, nil
	}
	v, err := f.gate.consistent(ctx)
	if err == nil && v == nil {
		if c.closed.Load() {
			return nil, errClosed("KV.Range")
		}
		f.forwarded.Add(1)
	}
	return v, err
}

// streamChunk is how many keys a chunk of GetStream has.
const streamChunk = 1000

// GetStream implements [clientv3.KV]. A stream that the copy can answer, as [Cache.Get] does, needs
// no goroutine. The channel is closed after the last chunk.
func (c *Cache) GetStream(ctx context.Context, key string, opts ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	var q query
	if at, ours := q.parse(key, opts); ours {
		v, err := c.versionFor(ctx, at, &q)
		if err != nil {
			return nil, err
		}
		if v != nil {
			return chunks(v.get(at, &q)), nil
		}
	}
	return c.kv.GetStream(ctx, key, opts...)
}

// chunks returns a complete stream.
func chunks(r *clientv3.GetResponse) clientv3.GetStreamChan {
	ch := make(chan clientv3.RangeStreamResponse, len(r.Kvs)/streamChunk+1)
	for kvs := r.Kvs; ; kvs = kvs[streamChunk:] {
		if len(kvs) <= streamChunk {
			last := &pb.RangeResponse{Header: r.Header, Kvs: kvs, More: r.More, Count: r.Count}
			ch <- clientv3.RangeStreamResponse{RangeResponse: last}
			break
		}
		ch <- clientv3.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: kvs[:streamChunk:streamChunk]}}
	}
	close(ch)
	return ch
}

// Do implements [clientv3.KV]: it answers a get as [Cache.Get] does, and sends everything else to
// etcd.
func (c *Cache) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if op.IsGet() {
		var q query
		if q.read(&op, &pb.RangeRequest{}) {
			key := string(op.KeyBytes())
			v, err := c.versionFor(ctx, key, &q)
			if err != nil {
				return clientv3.OpResponse{}, err
			}
			if v != nil {
				return v.get(key, &q).OpResponse(), nil
			}
		}
	}
	return c.kv.Do(ctx, op)
}

// Put implements [clientv3.KV]: it is sent to etcd. A consistent read that begins after Put has
// returned sees the write; a serializable one may not see it yet.
func (c *Cache) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	return c.kv.Put(ctx, key, val, opts...)
}

// Delete implements [clientv3.KV]: it is sent to etcd, as [Cache.Put] is.
func (c *Cache) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	return c.kv.Delete(ctx, key, opts...)
}

// Compact implements [clientv3.KV]: it is sent to etcd.
func (c *Cache) Compact(
	ctx context.Context,
	rev int64,
	opts ...clientv3.CompactOption,
) (*clientv3.CompactResponse, error) {
	return c.kv.Compact(ctx, rev, opts...)
}

// Txn implements [clientv3.KV]: etcd executes transactions, their reads too.
func (c *Cache) Txn(ctx context.Context) clientv3.Txn { return c.kv.Txn(ctx) }
