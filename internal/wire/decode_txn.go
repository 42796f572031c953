package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// maxDepth is how deep transactions may be nested before the library takes over,
// which has a limit of its own.
const maxDepth = 16

// Responses within a transaction, each with the struct that says which kind it is.
type (
	opRange struct {
		op   pb.ResponseOp
		kind pb.ResponseOp_ResponseRange
		resp pb.RangeResponse
	}
	opPut struct {
		op   pb.ResponseOp
		kind pb.ResponseOp_ResponsePut
		resp pb.PutResponse
	}
)

func (d *decoder) txnResponse(in input, m *pb.TxnResponse, depth int) bool {
	if depth > maxDepth {
		return false
	}
	responses := count(in, tag(3, bytesType))
	if responses > 0 {
		m.Responses = make([]*pb.ResponseOp, 0, responses)
	}
	for in.left > 0 {
		var ok bool
		switch in.cur[0] {
		case tag(1, bytesType):
			ok = d.header(&in, &m.Header, nil)
		case tag(2, varintType):
			ok = in.flag(&m.Succeeded)
		case tag(3, bytesType):
			n, there := in.body()
			if !there {
				return false
			}
			var op *pb.ResponseOp
			body := in.sub(n)
			d.ops, d.more = max(0, responses-len(m.Responses)-1), in.left
			op, ok = d.responseOp(body, depth)
			m.Responses = append(m.Responses, op)
		default:
			ok = unknownIn(m, &in, 1, 2, 3)
		}
		if !ok {
			return false
		}
	}
	return true
}

// responseOp decodes an op of one field, which is all that a server sends.
func (d *decoder) responseOp(in input, depth int) (*pb.ResponseOp, bool) {
	if in.left == 0 {
		return new(pb.ResponseOp), true
	}
	t := in.cur[0]
	n, ok := in.body()
	if !ok || n != in.left {
		return nil, false
	}
	switch t {
	case tag(1, bytesType):
		o := new(opRange)
		o.op.Response, o.kind.ResponseRange = &o.kind, &o.resp
		return &o.op, d.rangeResponse(in, &o.resp)
	case tag(2, bytesType):
		o := new(opPut)
		o.op.Response, o.kind.ResponsePut = &o.kind, &o.resp
		return &o.op, d.putResponse(in, &o.resp)
	case tag(3, bytesType):
		r := new(pb.DeleteRangeResponse)
		return &pb.ResponseOp{
				Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: r},
			}, d.deleteResponse(
				in,
				r,
			)
	case tag(4, bytesType):
		r := new(pb.TxnResponse)
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: r}}, d.txnResponse(in, r, depth+1)
	}
	return nil, false
}

func (d *decoder) deleteResponse(in input, m *pb.DeleteRangeResponse) bool {
	n := count(in, tag(3, bytesType))
	if n > 0 {
		m.PrevKvs = make([]*mvccpb.KeyValue, 0, n)
	}
	for in.left > 0 {
		var ok bool
		switch in.cur[0] {
		case tag(1, bytesType):
			ok = d.header(&in, &m.Header, nil)
		case tag(2, varintType):
			ok = in.number(&m.Deleted)
		case tag(3, bytesType):
			var kv *mvccpb.KeyValue
			kv, ok = d.nextKV(&in, max(1, n-len(m.PrevKvs)), nil)
			m.PrevKvs = append(m.PrevKvs, kv)
		default:
			ok = unknownIn(m, &in, 1, 2, 3)
		}
		if !ok {
			return false
		}
	}
	return true
}
