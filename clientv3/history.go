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
	ctx = withGroup(ctx, group)
	kv, parted := RetryKVClient(w.c), false
	if len(q.Changes) > 0 {
		f, err := askWitness(ctx, kv, q)
		if err == rpctypes.ErrCompacted && onlyPuts(q) {
			// What is still as it was then tells as much, and what is not nothing.
			q.Revision = 0
			f, err = askWitness(ctx, kv, q)
			f.Different, f.Unproved = false, f.Different
		}
		switch err {
		case rpctypes.ErrFutureRev:
			// What was delivered is not there. By the time of the read below it may be covered up.
			parted = true
		case rpctypes.ErrCompacted, rpctypes.ErrTooManyOps:
		default:
			return f, err
		}
	}
	r, err := kv.Range(ctx, &pb.RangeRequest{Key: q.Key, Limit: 1, KeysOnly: true})
	f := found(r.GetHeader())
	f.Different, f.Unproved = parted, !parted
	if parted && err != nil {
		f.Revision, err = q.Revision-1, nil
	}
	return f, err
}

func found(h *pb.ResponseHeader) watch.Finding {
	return watch.Finding{Revision: h.GetRevision(), ClusterID: h.GetClusterId(), Term: h.GetRaftTerm()}
}

func onlyPuts(q watch.Check) bool {
	for _, ch := range q.Changes {
		if ch.Deleted || ch.Absent {
			return false
		}
	}
	return true
}

func askWitness(ctx context.Context, kv pb.KVClient, q watch.Check) (watch.Finding, error) {
	txn := &pb.TxnRequest{}
	read := func(r *pb.RangeRequest) {
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}})
	}
	for _, ch := range q.Changes {
		read(&pb.RangeRequest{Key: ch.Key, RangeEnd: ch.End, Limit: 1, Revision: q.Revision})
		if ch.Deleted {
			read(&pb.RangeRequest{Key: ch.Key, Revision: q.Revision - 1})
		}
	}
	resp, err := kv.Txn(ctx, txn)
	if err != nil {
		return watch.Finding{}, err
	}
	f := found(resp.GetHeader())
	answers := resp.Responses
	next := func() []*mvccpb.KeyValue {
		if len(answers) == 0 {
			return nil // a server that does not keep to the protocol: the change is not there
		}
		kvs := answers[0].GetResponseRange().GetKvs()
		answers = answers[1:]
		return kvs
	}
	for _, ch := range q.Changes {
		now := next()
		switch {
		case ch.Deleted:
			before := next()
			f.Different = f.Different || len(now) != 0 || len(before) != 1
		case ch.Absent:
			f.Different = f.Different || len(now) != 0
		default:
			f.Different = f.Different || len(now) != 1 || !ch.SameAs(now[0])
		}
	}
	return f, nil
}
