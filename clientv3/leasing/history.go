package leasing

// Signs of a restored etcd. A backup may have a leasing key with the same create revision, and an
// older value of the key itself than the owner remembers. So what is remembered holds in the
// history of etcd in which it was asked for, and a sign that the history may be another makes the
// owner ask once more before it answers from memory again.

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

// history counts the signs so far: streams of renewals that have answered, since a member keeps its
// history while it runs and a stream does not outlive its member, and other signs. What was asked
// for at one count is of one history, as long as the count stays. Most signs are false alarms:
// another member, or a broken connection.
type history uint64

// history returns the present one.
func (l *leasing) history(t *tenure) history {
	return history(relapse.Streams(l.lessor) + t.doubts.Load())
}

// holds reports whether what was read from memory before the call, as it was asked for in a
// history, was current then, as far as this process knows. The history is looked at last: a renewal
// that is the sign of another one is counted before it extends the lease.
func (l *leasing) holds(t *tenure, in history) bool { return l.valid(t) && in == l.history(t) }

// suspect notes a sign of another history.
func (l *leasing) suspect(t *tenure) {
	t.doubts.Add(1)
	l.stir()
}

// stir makes the watch begin anew.
func (l *leasing) stir() {
	select {
	case l.doubt <- struct{}{}:
	default:
	}
}

// lost notes that the watch, which begins anew by itself, has lost its history.
func (l *leasing) lost() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.term != nil {
		l.term.doubts.Add(1)
	}
}

// parted reports whether h shows that it is of another history: it answers a request that was sent
// after the answer with before had come.
func parted(before, h *pb.ResponseHeader) bool {
	return before != nil && (h.GetClusterId() != before.ClusterId || h.GetRaftTerm() < before.RaftTerm ||
		h.GetRevision() < before.Revision)
}

// linearizable reports whether an answer to op shows the newest state, which it does not if op only
// makes serializable reads.
func linearizable(op *v3.Op) bool {
	if !op.IsTxn() {
		return !op.IsGet() || !op.IsSerializable()
	}
	_, thenOps, elseOps := op.Txn()
	for _, list := range [][]v3.Op{thenOps, elseOps} {
		for i := range list {
			if !list[i].IsGet() || !list[i].IsSerializable() {
				return true
			}
		}
	}
	return false
}

// reread answers a get of an owned key whose value may be of another history, and remembers the
// value again if the leasing key is still there as it was put. done is false if there is no such
// key.
func (l *leasing) reread(ctx context.Context, op *v3.Op, key string) (r *v3.GetResponse, err error, done bool) {
	l.mu.RLock()
	e := l.owned[key]
	if e == nil || e.writes > 0 || e.in == l.history(e.t) {
		l.mu.RUnlock()
		return nil, nil, false
	}
	in := l.history(e.t)
	l.mu.RUnlock()
	lk := l.leasingKey(key)
	out, err := l.do(ctx, v3.OpTxn(
		[]v3.Cmp{
			v3.Compare(v3.CreateRevision(lk), "=", e.fence), v3.Compare(v3.Version(lk), "=", 1), // not asked back
			v3.Compare(v3.LeaseValue(lk), "=", e.t.lease), v3.Compare(v3.LeaseValue(key), "=", v3.NoLease),
		},
		[]v3.Op{v3.OpGet(key)}, []v3.Op{v3.OpGet(key)}))
	if err != nil {
		return nil, err, true
	}
	txn := out.Txn()
	var kv *mvccpb.KeyValue
	if kvs := txn.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		kv = kvs[0]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owned[key] == e {
		if txn.Succeeded {
			l.learn(key, e, kv, txn.Header, in)
		} else {
			l.relinquish(key, e)
		}
	}
	return (*v3.GetResponse)(answer(kv, txn.Header, op)), nil, true
}

// confirm waits for the answer to the first renewal if the client has renewed no lease before. It
// is under way since the session began. Later it would be a sign of another history, and what is
// owned by then would be read again: in vain while etcd cannot be reached.
func (l *leasing) confirm(t *tenure) {
	if relapse.Streams(l.lessor) > 0 || !l.valid(t) {
		return
	}
	limit := time.NewTimer(confirmFor)
	defer limit.Stop()
	select {
	case r, ok := <-t.renewals:
		if ok {
			l.renewed(t, r.ResponseHeader)
		}
	case <-t.s.Done():
	case <-limit.C:
	}
}

// renewed looks at the header of a renewal. The ear is given no streams, since these are counted.
// A member may lag behind latest for a moment, but hardly since the renewal before.
func (l *leasing) renewed(t *tenure, h *pb.ResponseHeader) {
	l.mu.RLock()
	seen := t.latest.GetRevision()
	if t.latestIn != l.history(t) {
		seen = 0
	}
	l.mu.RUnlock()
	streams := relapse.Streams(l.lessor)
	switch {
	case t.ear.Hear(h, nil, t.seen):
		l.suspect(t)
		seen = 0
	case t.streams != 0 && streams != t.streams:
		l.stir()
	}
	t.streams, t.seen = streams, seen
}
