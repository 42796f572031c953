package cache

// A version is the copy of one prefix as of one revision. It is never changed after it was
// published, so readers need nothing but the pointer to it: no lock, and no write to memory
// that they share. The tree's nodes are shared with the versions before and after; a tree
// copies the nodes that it changes, and reading one writes nothing.

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
}

func newVersion(keys *tree, epoch int, rev int64, from *pb.ResponseHeader) *version {
	return &version{keys: keys, rev: rev, epoch: epoch, header: headerAt(from, rev)}
}

// headerAt is a header as of a revision.
func headerAt(h *pb.ResponseHeader, rev int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: h.GetClusterId(), MemberId: h.GetMemberId(), RaftTerm: h.GetRaftTerm(), Revision: rev}
}

// rank is how many keys come before key.
func rank(keys *tree, key string) int {
	return sort.Search(keys.Len(), func(i int) bool {
		k, _, _ := keys.GetAt(i)
		return k >= key
	})
}

// count is how many keys s has. It takes the time of a few look-ups, however many they are.
func (v *version) count(s span) (from, n int) {
	from = rank(v.keys, s.start)
	if s.open {
		return from, v.keys.Len() - from
	}
	return from, max(rank(v.keys, s.end)-from, 0)
}

// scan calls yield for the keys of s in order until it returns false.
func (v *version) scan(s span, yield func(key string, kv *mvccpb.KeyValue) bool) {
	v.keys.Ascend(s.start, func(key string, kv *mvccpb.KeyValue) bool {
		return (s.open || key < s.end) && yield(key, kv)
	})
}

// own copies a key-value into memory of its own: what arrives may share one buffer with a
// thousand others, which it would keep alive.
func own(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	buf := make([]byte, len(kv.Key)+len(kv.Value))
	n := copy(buf, kv.Key)
	copy(buf[n:], kv.Value)
	out := &mvccpb.KeyValue{
		Key: buf[:n:n], CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease,
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
