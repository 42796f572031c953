package cache

// This file answers a get from a version. The rules are the server's: filters and sorting come
// before the limit, Count is the number of keys in the range whatever else is requested, and
// sorting by a field other than the key ascends unless the caller asks otherwise. Only where no
// order is given and there is no filter the limit comes first: the server takes one key more than
// that, to know whether there are more, sorts the keys that it took and then cuts.

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// query is a get without its key.
type query struct {
	end          string // as in a request
	limit        int64
	target       clientv3.SortTarget
	order        clientv3.SortOrder
	unordered    bool // no order was asked for, but something to sort by
	rev          int64
	filter       filter
	serializable bool
	keysOnly     bool
	countOnly    bool
}

// filter is the bounds on revisions; zero is no bound.
type filter struct{ minMod, maxMod, minCreate, maxCreate int64 }

func (f *filter) passes(kv *mvccpb.KeyValue) bool {
	return kv.ModRevision >= f.minMod && (f.maxMod == 0 || kv.ModRevision <= f.maxMod) &&
		kv.CreateRevision >= f.minCreate && (f.maxCreate == 0 || kv.CreateRevision <= f.maxCreate)
}

// read fills q, which is zero, from op; r is scratch space. It returns false if the server has to
// say what is wrong with op.
func (q *query) read(op *clientv3.Op, r *pb.RangeRequest) bool {
	op.RangeRequestTo(r)
	if r.SortOrder != pb.RangeRequest_NONE || r.SortTarget != pb.RangeRequest_KEY {
		if !op.IsSortOptionValid() {
			return false
		}
		q.target, q.order = clientv3.SortTarget(r.SortTarget), clientv3.SortOrder(r.SortOrder)
		if q.order == clientv3.SortNone {
			q.order, q.unordered = clientv3.SortAscend, true
		}
	}
	if len(r.RangeEnd) > 0 {
		q.end = string(r.RangeEnd)
	}
	q.limit, q.rev = r.Limit, r.Revision
	q.serializable, q.keysOnly, q.countOnly = r.Serializable, r.KeysOnly, r.CountOnly
	q.filter.minMod, q.filter.maxMod = r.MinModRevision, r.MaxModRevision
	q.filter.minCreate, q.filter.maxCreate = r.MinCreateRevision, r.MaxCreateRevision
	return op.OptionsErr() == nil && !op.HasConflict()
}

// scratch is an operation to try options on. An Op is large, and options make it escape to
// the heap, so it would be most of what a read costs.
type scratch struct {
	op  clientv3.Op
	req pb.RangeRequest
	key []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// parse is read for a get on key with options. It returns the key, which options change if it is
// empty.
func (q *query) parse(key string, opts []clientv3.OpOption) (at string, ok bool) {
	s := scratches.Get().(*scratch)
	s.op = clientv3.Op{}
	s.key = append(s.key[:0], key...)
	s.op.WithKeyBytes(s.key)
	for _, o := range opts {
		if o != nil {
			o(&s.op)
		}
	}
	ok = q.read(&s.op, &s.req)
	at = key
	if string(s.req.Key) != key {
		at = string(s.req.Key)
	}
	scratches.Put(s)
	return at, ok
}

// natural reports that the result is a run of keys in their order.
func (q *query) natural() bool {
	return (q.order == clientv3.SortNone || (q.order == clientv3.SortAscend && q.target == clientv3.SortByKey)) &&
		q.filter == filter{}
}

// get answers q for key.
func (v *version) get(key string, q *query) *clientv3.GetResponse {
	a := v.answer()
	if q.end == "" {
		kv, found := v.keys.Get(key)
		if !found {
			return (*clientv3.GetResponse)(&a.resp)
		}
		a.resp.Count = 1
		if !q.countOnly && q.filter.passes(kv) {
			a.one[0] = kv
			a.resp.Kvs = a.one[:]
		}
	} else {
		v.list(spanOf(key, q.end), q, a)
	}
	if q.keysOnly {
		a.resp.Kvs = bare(a.resp.Kvs, q.target == clientv3.SortByValue)
	}
	return (*clientv3.GetResponse)(&a.resp)
}

func (v *version) list(s span, q *query, a *answer) {
	_, n := v.count(s)
	a.resp.Count = int64(n)
	if q.countOnly || n == 0 {
		return
	}
	take := n
	if q.limit > 0 && q.limit < int64(n) {
		switch {
		case q.natural():
			take = int(q.limit)
			a.resp.More = true
		case q.unordered && q.filter == filter{}:
			take = int(q.limit) + 1
		}
	}
	kvs := make([]*mvccpb.KeyValue, 0, take)
	v.scan(s, func(_ string, kv *mvccpb.KeyValue) bool {
		if q.filter.passes(kv) {
			kvs = append(kvs, kv)
		}
		return len(kvs) < take
	})
	if q.order != clientv3.SortNone {
		sortBy(kvs, q.target, q.order)
	}
	if q.limit > 0 && int64(len(kvs)) > q.limit {
		kvs = kvs[:q.limit:q.limit]
		a.resp.More = true
	}
	if len(kvs) > 0 { // else nil, as decoded from a server's answer
		a.resp.Kvs = kvs
	}
}

func sortBy(kvs []*mvccpb.KeyValue, target clientv3.SortTarget, order clientv3.SortOrder) {
	by := func(a, b *mvccpb.KeyValue) int {
		switch target {
		case clientv3.SortByVersion:
			return cmp.Compare(a.Version, b.Version)
		case clientv3.SortByCreateRevision:
			return cmp.Compare(a.CreateRevision, b.CreateRevision)
		case clientv3.SortByModRevision:
			return cmp.Compare(a.ModRevision, b.ModRevision)
		case clientv3.SortByValue:
			return bytes.Compare(a.Value, b.Value)
		}
		return bytes.Compare(a.Key, b.Key)
	}
	slices.SortStableFunc(kvs, func(a, b *mvccpb.KeyValue) int {
		if order == clientv3.SortDescend {
			a, b = b, a
		}
		return by(a, b)
	})
}

// bare returns the keys without their values and leases, and leaves those of the copy alone. A
// server keeps the leases of keys that it sorts by value.
func bare(kvs []*mvccpb.KeyValue, leases bool) []*mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	copies := make([]mvccpb.KeyValue, len(kvs))
	out := make([]*mvccpb.KeyValue, len(kvs))
	for i, kv := range kvs {
		c := &copies[i]
		c.Key, c.CreateRevision, c.ModRevision, c.Version = kv.Key, kv.CreateRevision, kv.ModRevision, kv.Version
		if leases {
			c.Lease = kv.Lease
		}
		out[i] = c
	}
	return out
}
