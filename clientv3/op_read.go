package clientv3

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// This file has what packages that answer operations themselves need to know of one. The methods
// have pointer receivers since an Op is large: copying it would be most of the cost of such an
// answer.

// RangeRequestTo sets all fields of r to what a get asks for. r's slices are the
// operation's own.
func (op *Op) RangeRequestTo(r *pb.RangeRequest) {
	r.SortOrder, r.SortTarget = pb.RangeRequest_NONE, pb.RangeRequest_KEY // filled in only if sorted
	op.fillRangeRequest(r)
}

// PutRequestTo sets all fields of r to what a put asks for. r's slices are the operation's own.
func (op *Op) PutRequestTo(r *pb.PutRequest) { op.fillPutRequest(r) }

// OptionsErr says which option does not fit the operation, or which two do not go
// together; nil if all do. Executing the operation returns this error too.
func (op *Op) OptionsErr() error { return op.err }

// HasConflict reports that [WithPrefix] and [WithFromKey] are both set, whether or not the
// operation was made by [OpGet] and the like, which turn that into an error.
func (op *Op) HasConflict() bool { return op.isOptsWithPrefix && op.isOptsWithFromKey }
