package cache

// A version is the copy of one prefix as of one revision. It never changes once it is published, so
// readers need nothing but the pointer to it: no lock, and no write to shared memory. A version
// shares the tree's nodes with the versions before and after it; a tree copies the nodes that it
// changes, and reading one writes nothing.

import (
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tidwall/btree"
)

type tree = btree.Map[string, *mvccpb.KeyValue]

type version struct {
	keys   *tree
	rev    int64              // all changes of the prefix up to here are in
	header *pb.ResponseHeader // of responses; shared by them
	epoch  int                // how often the revisions have begun anew
	newest *mvccpb.KeyValue   // the key that was put last; nil if unknown
}

func newVersion(keys *tree, newest *mvccpb.KeyValue, epoch int, rev int64, from *pb.ResponseHeader) *version {
	return &version{keys: keys, newest: newest, rev: rev, epoch: epoch, header: headerAt(from, rev)}
}

// has reports whether the copy has a key exactly as in kv.
func (v *version) has(kv *mvccpb.KeyValue) bool {
	own, there := v.keys.Get(string(kv.Key))
	return there && equal(own, kv)
}

// at returns the same copy as of a later revision.
func (v *version) at(h *pb.ResponseHeader) *version {
	return newVersion(v.keys, v.newest, v.epoch, h.GetRevision(), h)
}

// parted reports that a linearizable read shows another history than v's. newest is the answer for
// v's newest key, with its value unless that is long; nil if the key does not exist.
func (v *version) parted(h *pb.ResponseHeader, newest *mvccpb.KeyValue) bool {
	switch {
	case h.GetRevision() < v.rev || h.GetClusterId() != v.header.ClusterId:
		return true // committed revisions do not go away
	case v.newest == nil:
		return false
	case newest == nil || newest.ModRevision > v.rev:
		return h.GetRevision() == v.rev // else it may have been changed since
	case v.proves():
		return !equal(newest, v.newest)
	}
	return newest.ModRevision != v.newest.ModRevision || newest.CreateRevision != v.newest.CreateRevision ||
		newest.Version != v.newest.Version
}

// proofBytes is the longest value that quorum reads ask for too, to see that it is still the
// copy's: longer ones would make each read expensive.
const proofBytes = 1 << 10

// proves reports that quorum reads ask for the value of the newest key.
func (v *version) proves() bool { return v.newest != nil && len(v.newest.Value) <= proofBytes }

// headerAt returns a header as of a revision.
func headerAt(h *pb.ResponseHeader, rev int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{
		ClusterId: h.GetClusterId(),
		MemberId:  h.GetMemberId(),
		RaftTerm:  h.GetRaftTerm(),
		Revision:  rev,
	}
}

// rank returns how many keys come before key.
func rank(keys *tree, key string) int {
	return sort.Search(keys.Len(), func(i int) bool {
		k, _, _ := keys.GetAt(i)
		return k >= key
	})
}

// count returns how many keys s has. It takes the time of a few look-ups, however many keys there
// are.
func (v *version) count(s span) (from, n int) {
	from = rank(v.keys, s.start)
	if s.open {
		return from, v.keys.Len() - from
	}
	return from, max(rank(v.keys, s.end)-from, 0)
}

// scan calls yield for the keys of s in order until yield returns false.
func (v *version) scan(s span, yield func(key string, kv *mvccpb.KeyValue) bool) {
	v.keys.Ascend(s.start, func(key string, kv *mvccpb.KeyValue) bool {
		return (s.open || key < s.end) && yield(key, kv)
	})
}

// own copies a key-value into memory of its own: a received one may share a buffer with a thousand
// others, which it would keep alive.
func own(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	buf := make([]byte, len(kv.Key)+len(kv.Value))
	n := copy(buf, kv.Key)
	copy(buf[n:], kv.Value)
	out := &mvccpb.KeyValue{
		Key: buf[:n:n], CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version,
		Lease: kv.Lease,
	}
	if len(kv.Value) > 0 { // else nil, as decoded from a server's message
		out.Value = buf[n:]
	}
	return out
}

// answer is a response and what it refers to, in one piece of memory.
type answer struct {
	resp pb.RangeResponse
	one  [1]*mvccpb.KeyValue
}

func (v *version) answer() *answer {
	a := &answer{}
	a.resp.Header = v.header
	return a
}
