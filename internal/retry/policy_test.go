package retry

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestPlanOfTransactions(t *testing.T) {
	get := func(serializable bool) *pb.RequestOp {
		return &pb.RequestOp{
			Request: &pb.RequestOp_RequestRange{
				RequestRange: &pb.RangeRequest{Key: []byte("k"), Serializable: serializable},
			},
		}
	}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}
	nested := func(ops ...*pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Failure: ops}}}
	}
	many := func(limit int64) *pb.RequestOp {
		return &pb.RequestOp{
			Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{RangeEnd: []byte{0}, Limit: limit}},
		}
	}
	local, linear, written := plan{kind: read}, plan{kind: read, consensus: true}, plan{kind: write, consensus: true}
	few := plan{kind: read, consensus: true, hedge: true}
	for _, c := range []struct {
		name string
		txn  *pb.TxnRequest
		want plan
	}{
		{"serializable reads", &pb.TxnRequest{Success: []*pb.RequestOp{get(true), nested(get(true))}}, local},
		{"one linearizable", &pb.TxnRequest{Success: []*pb.RequestOp{get(true), get(false)}}, few},
		{"one linearizable, nested", &pb.TxnRequest{Success: []*pb.RequestOp{get(true), nested(get(false))}}, linear},
		{"a comparison", &pb.TxnRequest{Compare: []*pb.Compare{{}}, Success: []*pb.RequestOp{get(true)}}, few},
		{"a comparison of many", &pb.TxnRequest{
			Compare: []*pb.Compare{{RangeEnd: []byte{0}}}, Success: []*pb.RequestOp{get(true)},
		}, linear},
		{"100 keys", &pb.TxnRequest{Success: []*pb.RequestOp{get(false), many(99)}}, few},
		{"101 keys", &pb.TxnRequest{Success: []*pb.RequestOp{get(false), many(100)}}, linear},
		{"any number", &pb.TxnRequest{Success: []*pb.RequestOp{many(0)}}, linear},
		{"any number, twice", &pb.TxnRequest{Success: []*pb.RequestOp{many(0), many(0)}}, linear},
		{"a put in the else branch", &pb.TxnRequest{
			Success: []*pb.RequestOp{get(true)}, Failure: []*pb.RequestOp{put},
		}, written},
		{"a put, nested", &pb.TxnRequest{Success: []*pb.RequestOp{nested(put)}}, written},
	} {
		if got := planFor(pb.KV_Txn_FullMethodName, c.txn); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
