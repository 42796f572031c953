package namespace

// Answers with shorter keys. The wrapped part may share its answer with others, as a cache does
// with all callers. So the answer is not changed: the parts that differ are copied, and the rest is
// shared.

import (
	"bytes"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// chunk is how many copies share an allocation: a kept copy then holds some kilobytes at most.
const chunk = 32

// strip returns kv without the prefix in its key.
func (s space) strip(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	if kv == nil {
		return nil
	}
	out := new(mvccpb.KeyValue)
	s.stripInto(out, kv)
	return out
}

func (s space) stripInto(out, kv *mvccpb.KeyValue) {
	out.Key, out.Value = bytes.TrimPrefix(kv.Key, []byte(s)), kv.Value
	out.CreateRevision, out.ModRevision, out.Version, out.Lease = kv.CreateRevision, kv.ModRevision, kv.Version,
		kv.Lease
}

func (s space) stripAll(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	if len(kvs) == 0 {
		return kvs
	}
	out := make([]*mvccpb.KeyValue, len(kvs))
	var room []mvccpb.KeyValue
	for i, kv := range kvs {
		if kv == nil {
			continue
		}
		if len(room) == 0 {
			room = make([]mvccpb.KeyValue, min(chunk, len(kvs)-i))
		}
		out[i], room = &room[0], room[1:]
		s.stripInto(out[i], kv)
	}
	return out
}

func (s space) stripRange(r *etcdserverpb.RangeResponse) *etcdserverpb.RangeResponse {
	if len(r.GetKvs()) == 0 {
		return r
	}
	return &etcdserverpb.RangeResponse{Header: r.Header, Kvs: s.stripAll(r.Kvs), More: r.More, Count: r.Count}
}

func (s space) stripPut(r *etcdserverpb.PutResponse) *etcdserverpb.PutResponse {
	if r.GetPrevKv() == nil {
		return r
	}
	return &etcdserverpb.PutResponse{Header: r.Header, PrevKv: s.strip(r.PrevKv)}
}

func (s space) stripDelete(r *etcdserverpb.DeleteRangeResponse) *etcdserverpb.DeleteRangeResponse {
	if len(r.GetPrevKvs()) == 0 {
		return r
	}
	return &etcdserverpb.DeleteRangeResponse{Header: r.Header, Deleted: r.Deleted, PrevKvs: s.stripAll(r.PrevKvs)}
}

func (s space) stripTxn(r *etcdserverpb.TxnResponse) *etcdserverpb.TxnResponse {
	if len(r.GetResponses()) == 0 {
		return r
	}
	out := &etcdserverpb.TxnResponse{
		Header:    r.Header,
		Succeeded: r.Succeeded,
		Responses: make([]*etcdserverpb.ResponseOp, len(r.Responses)),
	}
	for i, op := range r.Responses {
		out.Responses[i] = s.stripOp(op)
	}
	return out
}

func (s space) stripOp(op *etcdserverpb.ResponseOp) *etcdserverpb.ResponseOp {
	switch r := op.GetResponse().(type) {
	case *etcdserverpb.ResponseOp_ResponseRange:
		return &etcdserverpb.ResponseOp{
			Response: &etcdserverpb.ResponseOp_ResponseRange{ResponseRange: s.stripRange(r.ResponseRange)},
		}
	case *etcdserverpb.ResponseOp_ResponsePut:
		return &etcdserverpb.ResponseOp{
			Response: &etcdserverpb.ResponseOp_ResponsePut{ResponsePut: s.stripPut(r.ResponsePut)},
		}
	case *etcdserverpb.ResponseOp_ResponseDeleteRange:
		return &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseDeleteRange{
			ResponseDeleteRange: s.stripDelete(r.ResponseDeleteRange),
		}}
	case *etcdserverpb.ResponseOp_ResponseTxn:
		return &etcdserverpb.ResponseOp{
			Response: &etcdserverpb.ResponseOp_ResponseTxn{ResponseTxn: s.stripTxn(r.ResponseTxn)},
		}
	}
	return op
}

func (s space) stripResponse(r clientv3.OpResponse) clientv3.OpResponse {
	switch {
	case r.Get() != nil:
		return (*clientv3.GetResponse)(s.stripRange((*etcdserverpb.RangeResponse)(r.Get()))).OpResponse()
	case r.Put() != nil:
		return (*clientv3.PutResponse)(s.stripPut((*etcdserverpb.PutResponse)(r.Put()))).OpResponse()
	case r.Del() != nil:
		return (*clientv3.DeleteResponse)(s.stripDelete((*etcdserverpb.DeleteRangeResponse)(r.Del()))).OpResponse()
	case r.Txn() != nil:
		return (*clientv3.TxnResponse)(s.stripTxn((*etcdserverpb.TxnResponse)(r.Txn()))).OpResponse()
	}
	return r
}

func (s space) stripWatch(r clientv3.WatchResponse) clientv3.WatchResponse {
	if len(r.Events) == 0 {
		return r
	}
	events := make([]*clientv3.Event, len(r.Events))
	for i, e := range r.Events {
		events[i] = &clientv3.Event{Type: e.Type, Kv: s.strip(e.Kv), PrevKv: s.strip(e.PrevKv)}
	}
	r.Events = events
	return r
}
