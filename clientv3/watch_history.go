package clientv3

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/internal/watch"
)

// confirm asks what the newest revision that was delivered to a watch of the group, or listed,
// has changed, or, if the server cannot say, only for the revision of now. It reads keys that
// the group's watches watch, so the user may read them.
func (w *watcher) confirm(ctx context.Context, group string, q watch.Check) (watch.Finding, error) {
	if q.Member != "" {
		// Behind one address there may be several members, so the one that answers names itself.
		r, err := w.c.Status(ctx, q.Member)
		if err != nil || before(r.Version, orderedMinor, orderedPatch) {
			return watch.Finding{}, err
		}
		return watch.Finding{Orders: r.Header.GetMemberId()}, nil
	}
	ctx = withGroup(ctx, group)
	kv, parted, compacted := RetryKVClient(w.c), false, false
	if len(q.Changes) > 0 {
		f, err := askWitness(ctx, kv, q, q.Revision)
		compacted = err == rpctypes.ErrCompacted
		if err == rpctypes.ErrCompacted && q.Seen > q.Revision {
			f, err = askWitness(ctx, kv, q, q.Seen)
		}
		if err == rpctypes.ErrCompacted && q.Put() != nil {
			f, err = askWitness(ctx, kv, q, 0)
		}
		switch err {
		case rpctypes.ErrFutureRev:
			// The delivered revision is not there. The read below may come too late to show that.
			parted = true
		case rpctypes.ErrCompacted, rpctypes.ErrTooManyOps:
		default:
			f.Compacted = compacted
			return f, err
		}
	}
	r, err := kv.Range(ctx, &pb.RangeRequest{Key: q.Key, Limit: 1, KeysOnly: true})
	f := found(r.GetHeader())
	f.Different, f.Unproved, f.Compacted = parted, !parted, compacted
	if parted && err != nil {
		f.Revision, err = q.Revision-1, nil
	}
	return f, err
}

// found is not inlined: its copies made programs larger.
//
//go:noinline
func found(h *pb.ResponseHeader) watch.Finding {
	return watch.Finding{Revision: h.GetRevision(), ClusterID: h.GetClusterId(), Term: h.GetRaftTerm()}
}

// askWitness compares the witness's keys with what they were at a revision from the witness's to
// q.Seen, or are now if it is 0.
func askWitness(ctx context.Context, kv pb.KVClient, q watch.Check, at int64) (watch.Finding, error) {
	txn := &pb.TxnRequest{}
	for _, ch := range q.Changes {
		alsoRead(txn, ch.Key, ch.End, at, ch.KeyOnly || q.KeysOnly)
		if ch.Deleted && at == q.Revision {
			alsoRead(txn, ch.Key, nil, q.Revision-1, true)
		}
	}
	if q.Now {
		alsoRead(txn, q.Put(), nil, 0, true)
	}
	resp, err := kv.Txn(ctx, txn)
	if err != nil {
		return watch.Finding{}, err
	}
	answers := resp.Responses
	next := func() []*mvccpb.KeyValue {
		if len(answers) == 0 {
			return nil // a server that does not keep to the protocol: the change is not there
		}
		kvs := answers[0].GetResponseRange().GetKvs()
		answers = answers[1:]
		return kvs
	}
	f, shown := found(resp.GetHeader()), at == q.Revision
	for _, ch := range q.Changes {
		now := next()
		same := len(now) == 0
		ch.KeyOnly = ch.KeyOnly || q.KeysOnly
		if ch.IsPut() {
			same = len(now) == 1 && ch.SameAs(now[0])
			shown = shown || same
		}
		if ch.Deleted && at == q.Revision {
			same = len(next()) == 1 && same
		}
		// What is otherwise now may have changed since, except to what would have been delivered.
		f.Different = f.Different || !same && (at != 0 || len(now) == 1 && now[0].ModRevision <= q.Seen)
	}
	f.Unproved = !shown && !f.Different
	if q.Now {
		now := next()
		f.Changed = len(now) == 0 || now[0].ModRevision > q.Seen
	}
	return f, nil
}

// alsoRead adds a read to txn: of the first key of a range, or of one key, at a revision, 0 for
// now.
//
//go:noinline
func alsoRead(txn *pb.TxnRequest, key, end []byte, at int64, keyOnly bool) {
	r := &pb.RangeRequest{Key: key, RangeEnd: end, Limit: 1, Revision: at, KeysOnly: keyOnly}
	txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}})
}

// orderedMinor and orderedPatch are the first version (3.x.y) that sends the answer to a progress
// request behind the events before it. (Those of 3.4 that do so as well are not looked for.)
const orderedMinor, orderedPatch = 5, 8
