package wire

// Transactions hold messages behind interfaces and pointers, any of which may be nil in
// a request that a user put together; those are left to the library.

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

func sizeTxn(m *pb.TxnRequest, depth int) (int, bool) {
	if depth > maxDepth {
		return 0, false
	}
	all := len(unknownOf(m))
	for _, c := range m.Compare {
		n, ok := sizeCompare(c)
		if !ok {
			return 0, false
		}
		all += sizeChunk(n)
	}
	for _, ops := range [][]*pb.RequestOp{m.Success, m.Failure} {
		for _, op := range ops {
			n, ok := sizeOp(op, depth)
			if !ok {
				return 0, false
			}
			all += sizeChunk(n)
		}
	}
	return all, true
}

func appendTxn(b []byte, m *pb.TxnRequest) []byte {
	for _, c := range m.Compare {
		n, _ := sizeCompare(c)
		b = appendCompare(appendLength(b, 1, n), c)
	}
	for _, op := range m.Success {
		n, _ := sizeOp(op, 0)
		b = appendOp(appendLength(b, 2, n), op)
	}
	for _, op := range m.Failure {
		n, _ := sizeOp(op, 0)
		b = appendOp(appendLength(b, 3, n), op)
	}
	return append(b, unknownOf(m)...)
}

// sizeOp is the size of an op; its only field is the request.
func sizeOp(op *pb.RequestOp, depth int) (int, bool) {
	if op == nil || len(unknownOf(op)) > 0 {
		return 0, false
	}
	n, ok := sizeRequest(op, depth)
	return sizeChunk(n), ok
}

func sizeRequest(op *pb.RequestOp, depth int) (int, bool) {
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		if r != nil && r.RequestRange != nil {
			return sizeRange(r.RequestRange), true
		}
	case *pb.RequestOp_RequestPut:
		if r != nil && r.RequestPut != nil {
			return sizePut(r.RequestPut), true
		}
	case *pb.RequestOp_RequestDeleteRange:
		if r != nil && r.RequestDeleteRange != nil {
			return sizeDelete(r.RequestDeleteRange), true
		}
	case *pb.RequestOp_RequestTxn:
		if r != nil && r.RequestTxn != nil {
			return sizeTxn(r.RequestTxn, depth+1)
		}
	}
	return 0, false
}

func appendOp(b []byte, op *pb.RequestOp) []byte {
	n, _ := sizeRequest(op, 0)
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return appendRange(appendLength(b, 1, n), r.RequestRange)
	case *pb.RequestOp_RequestPut:
		return appendPut(appendLength(b, 2, n), r.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return appendDelete(appendLength(b, 3, n), r.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return appendTxn(appendLength(b, 4, n), r.RequestTxn)
	}
	return b
}

// rangeEnd is the field of a comparison whose tag has two bytes.
const rangeEnd = 64

func sizeCompare(c *pb.Compare) (int, bool) {
	if c == nil {
		return 0, false
	}
	n := sizeNumber(c.Result) + sizeNumber(c.Target) + sizeBytes(c.Key) + len(unknownOf(c))
	if len(c.RangeEnd) > 0 {
		n += 1 + sizeChunk(len(c.RangeEnd))
	}
	var v int64
	switch t := c.TargetUnion.(type) {
	case nil:
		return n, true
	case *pb.Compare_Value:
		if t == nil {
			return 0, false
		}
		return n + sizeChunk(len(t.Value)), true
	case *pb.Compare_Version:
		if t == nil {
			return 0, false
		}
		v = t.Version
	case *pb.Compare_CreateRevision:
		if t == nil {
			return 0, false
		}
		v = t.CreateRevision
	case *pb.Compare_ModRevision:
		if t == nil {
			return 0, false
		}
		v = t.ModRevision
	case *pb.Compare_Lease:
		if t == nil {
			return 0, false
		}
		v = t.Lease
	default:
		return 0, false
	}
	return n + 1 + protowire.SizeVarint(uint64(v)), true
}

func appendCompare(b []byte, c *pb.Compare) []byte {
	b = appendNumber(b, 1, c.Result)
	b = appendNumber(b, 2, c.Target)
	b = appendBytes(b, 3, c.Key)
	if len(c.RangeEnd) > 0 {
		b = protowire.AppendTag(b, rangeEnd, protowire.BytesType)
		b = protowire.AppendBytes(b, c.RangeEnd)
	}
	// The value to compare with is written even if it is zero or empty, and last.
	switch t := c.TargetUnion.(type) {
	case *pb.Compare_Version:
		b = protowire.AppendVarint(append(b, tag(4, varintType)), uint64(t.Version))
	case *pb.Compare_CreateRevision:
		b = protowire.AppendVarint(append(b, tag(5, varintType)), uint64(t.CreateRevision))
	case *pb.Compare_ModRevision:
		b = protowire.AppendVarint(append(b, tag(6, varintType)), uint64(t.ModRevision))
	case *pb.Compare_Value:
		b = protowire.AppendBytes(append(b, tag(7, bytesType)), t.Value)
	case *pb.Compare_Lease:
		b = protowire.AppendVarint(append(b, tag(8, varintType)), uint64(t.Lease))
	}
	return append(b, unknownOf(c)...)
}
