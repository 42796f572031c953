package mirror

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// maxOps is one below the server's default limit of 128 (--max-txn-ops), for the checkpoint.
	maxOps = 127
	// maxBytes is below the server's default limit of 1.5 MiB (--max-request-bytes). A greater
	// change is sent alone.
	maxBytes = 1 << 20
)

// batch collects changes of the target. No key may be in it twice.
type batch struct {
	ops   []clientv3.Op
	keys  map[string]bool
	bytes int
	puts  int64
	// witness is the newest put of the revisions that the batch completes; nil: there is none.
	witness *mvccpb.KeyValue
}

func (b *batch) put(key string, kv *mvccpb.KeyValue, lease clientv3.LeaseID) {
	b.add(key, clientv3.OpPut(key, string(kv.Value), clientv3.WithLease(lease)), len(kv.Value))
	b.puts++
}

func (b *batch) delete(key string) { b.add(key, clientv3.OpDelete(key), 0) }

func (b *batch) add(key string, op clientv3.Op, size int) {
	if b.keys == nil {
		b.keys = make(map[string]bool)
	}
	b.ops = append(b.ops, op)
	b.keys[key] = true
	b.bytes += len(key) + size
}

// fits reports whether n more changes of that many bytes fit into the batch.
func (b *batch) fits(n, bytes int) bool {
	return len(b.ops) == 0 || len(b.ops)+n <= maxOps && b.bytes+bytes <= maxBytes
}

// flush applies the batch, with the checkpoint at rev, and empties it.
func (m *mirror) flush(ctx context.Context, b *batch, rev int64, complete bool) error {
	to := position{rev, complete, m.mark.state.Witness}
	if b.witness != nil {
		to.Witness = witnessOf(b.witness)
	}
	err := m.mark.commit(ctx, m.target, to, b.ops)
	if errors.Is(err, rpctypes.ErrRequestTooLarge) && len(b.ops) > 0 {
		err = m.pieces(ctx, b.ops, to)
	}
	if err != nil {
		return err
	}
	m.progress.Revision, m.progress.Comparing = rev, !complete
	m.progress.Puts += b.puts
	m.progress.Deletes += int64(len(b.ops)) - b.puts
	if m.onProgress != nil {
		m.onProgress(m.progress)
	}
	*b = batch{}
	return nil
}

// compare makes the target equal to the source's present state, and returns its revision. It reads
// both sides in the order of keys, which is the same for any prefixes: it puts and deletes only
// keys that both readers have passed.
func (m *mirror) compare(ctx context.Context) (int64, error) {
	m.leases.reset()
	src, dst := newPager(m.source.KV, m.from), newPager(m.target.KV, *m.to)
	s, err := src.next(ctx)
	if err != nil {
		return 0, err
	}
	t, err := dst.next(ctx)
	if err != nil {
		return 0, err
	}
	m.progress.Comparisons++
	m.mark.state.Witness = witness{}
	b := &batch{}
	if err := m.flush(ctx, b, src.Rev, false); err != nil { // a mirror that goes on from here has to compare
		return 0, err
	}
	var newest *mvccpb.KeyValue
	for s != nil || t != nil {
		var key string // of s in the target
		if s != nil {
			if s.ModRevision > newest.GetModRevision() {
				newest = s
			}
			if key, err = m.targetKey(s.Key); err != nil {
				return 0, err
			}
			if key == "" {
				if s, err = src.next(ctx); err != nil {
					return 0, err
				}
				continue
			}
		}
		there := t != nil && s != nil && string(t.Key) == key
		switch {
		case s == nil || t != nil && string(t.Key) < key:
			if string(t.Key) != m.mark.key {
				b.delete(string(t.Key))
			}
			t, err = dst.next(ctx)
		default:
			lease, lerr := m.leases.of(ctx, key, s)
			if lerr != nil {
				return 0, lerr
			}
			if !there || string(t.Value) != string(s.Value) || t.Lease != int64(lease) {
				if !b.fits(1, len(key)+len(s.Value)) {
					if err := m.flush(ctx, b, src.Rev, false); err != nil {
						return 0, err
					}
				}
				b.put(key, s, lease)
			}
			if there {
				if t, err = dst.next(ctx); err != nil {
					return 0, err
				}
			}
			s, err = src.next(ctx)
		}
		if err != nil {
			return 0, err
		}
		if !b.fits(1, 0) {
			if err := m.flush(ctx, b, src.Rev, false); err != nil {
				return 0, err
			}
		}
	}
	m.leases.sweep()
	m.listed, b.witness = src.Listing, newest
	return src.Rev, m.flush(ctx, b, src.Rev, true)
}
