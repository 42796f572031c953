package leasing

// The owned keys, and reads of them.

import (
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

const (
	// maxOwned and maxBytes bound the memory of owned keys, and the number of leasing keys that are
	// deleted when the lease of a session expires.
	maxOwned = 10_000
	maxBytes = 64 << 20
	// holdOff is how long this process does not take ownership of a key that it had to give up, or
	// that another process owns. A waiting writer can write the key meanwhile; for a key that is
	// read often it is short.
	holdOff = time.Second
	// maxQuiet bounds the number of such keys that are remembered.
	maxQuiet = 10_000
)

// plain reports whether op, a get, reads the current state of one key and is valid; the client
// names the mistakes of others. To the server a revision below 0 is the current one.
func (l *leasing) plain(op *v3.Op) bool {
	return len(op.KeyBytes()) > 0 && op.RangeBytes() == nil && op.Rev() <= 0 &&
		(!op.IsSortSet() || op.IsSortOptionValid())
}

// cached answers a plain get from memory, if it can.
func (l *leasing) cached(op *v3.Op) (*v3.GetResponse, bool) {
	l.mu.RLock()
	e := l.owned[string(op.KeyBytes())]
	if e == nil || e.writes > 0 {
		l.mu.RUnlock()
		return nil, false
	}
	kv, header, in := e.kv, e.t.latest, e.in
	l.mu.RUnlock()
	if !l.holds(e.t, in) { // called after the value was read; valid says why
		return nil, false
	}
	return (*v3.GetResponse)(answer(kv, header, op)), true
}

// answer is the response to a plain get of kv. As in the server's answers, Count includes a key
// that the bounds on revisions leave out. The response shares nothing with kv.
func answer(kv *mvccpb.KeyValue, header *pb.ResponseHeader, op *v3.Op) *pb.RangeResponse {
	r := &pb.RangeResponse{Header: copyHeader(header)}
	if kv == nil {
		return r
	}
	r.Count = 1
	if op.IsCountOnly() || !within(kv.ModRevision, op.MinModRev(), op.MaxModRev()) ||
		!within(kv.CreateRevision, op.MinCreateRev(), op.MaxCreateRev()) {
		return r
	}
	out := &mvccpb.KeyValue{
		Key:            slices.Clone(kv.Key),
		CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version,
	}
	if !op.IsKeysOnly() {
		out.Value, out.Lease = slices.Clone(kv.Value), kv.Lease
	} else if byValue(op) { // the server has to read what it sorts, and leaves out the value only
		out.Lease = kv.Lease
	}
	r.Kvs = []*mvccpb.KeyValue{out}
	return r
}

func byValue(op *v3.Op) bool {
	var r pb.RangeRequest
	op.RangeRequestTo(&r)
	return r.SortTarget == pb.RangeRequest_VALUE
}

// within reports whether a revision is within bounds; a bound of 0 is none.
func within(rev, least, most int64) bool {
	return (least == 0 || rev >= least) && (most == 0 || rev <= most)
}

func copyHeader(h *pb.ResponseHeader) *pb.ResponseHeader {
	return &pb.ResponseHeader{
		ClusterId: h.GetClusterId(),
		MemberId:  h.GetMemberId(),
		Revision:  h.GetRevision(),
		RaftTerm:  h.GetRaftTerm(),
	}
}

// keep adds an entry and makes room for it. The caller holds mu.
func (l *leasing) keep(key string, e *entry) {
	l.owned[key] = e
	e.t.saw(e.header, e.in)
	l.bytes += len(e.kv.GetValue())
	for other, o := range l.owned { // in random order
		if len(l.owned) <= maxOwned && l.bytes <= maxBytes {
			return
		}
		if o.writes == 0 {
			l.relinquish(other, o)
		}
	}
}

// drop forgets an entry whose leasing key is gone. The caller holds mu.
func (l *leasing) drop(key string, e *entry) {
	delete(l.owned, key)
	l.bytes -= len(e.kv.GetValue())
}

// relinquish forgets an entry and starts the deletion of its leasing key. The caller holds mu.
func (l *leasing) relinquish(key string, e *entry) {
	l.drop(key, e)
	l.leave(key, e.fence)
}

// learn replaces the value of an owned key by that of an answer, unless the answer is older: to a
// request that was sent in an earlier history, or by its revision. It gives up a key that is
// attached to a lease. The caller holds mu.
func (l *leasing) learn(key string, e *entry, kv *mvccpb.KeyValue, header *pb.ResponseHeader, in history) {
	switch {
	case in < e.in:
	case in == e.in && header.GetRevision() < e.header.GetRevision():
	case kv.GetLease() != 0:
		l.relinquish(key, e)
	default:
		l.bytes += len(kv.GetValue()) - len(e.kv.GetValue())
		e.kv, e.header, e.in = kv, copyHeader(header), in
		e.t.saw(e.header, in)
	}
}

// hush makes this process not take ownership of a key for a while. The caller holds mu.
func (l *leasing) hush(key string) {
	now := time.Since(l.epoch)
	if len(l.quiet) >= maxQuiet {
		for k, until := range l.quiet {
			if until <= now {
				delete(l.quiet, k)
			}
		}
		if len(l.quiet) >= maxQuiet {
			clear(l.quiet) // some reads then try in vain
		}
	}
	l.quiet[strings.Clone(key)] = now + holdOff
}

// hushed reports whether this process should not take ownership of the key now. The caller holds
// mu.
func (l *leasing) hushed(key string) bool {
	until, ok := l.quiet[key]
	if ok && time.Since(l.epoch) >= until {
		delete(l.quiet, key)
		ok = false
	}
	return ok
}
