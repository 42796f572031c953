package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

type opType uint8

const (
	tRange opType = iota + 1
	tPut
	tDeleteRange
	tTxn
	tWatch
)

func (t opType) String() string {
	switch t {
	case tRange:
		return "get"
	case tPut:
		return "put"
	case tDeleteRange:
		return "delete"
	case tTxn:
		return "transaction"
	case tWatch:
		return "watch"
	}
	return "empty"
}

// Op is one operation on the key-value store, made by [OpGet], [OpPut], [OpDelete],
// [OpTxn] or [OpWatch] and executed by [KV.Do] or inside a transaction. Options that
// do not fit the operation are remembered and reported as an error when it is
// executed; nothing is sent then.
type Op struct {
	t   opType
	key []byte
	end []byte

	// get
	limit        int64
	sort         *SortOption
	serializable bool
	keysOnly     bool
	countOnly    bool
	minModRev    int64
	maxModRev    int64
	minCreateRev int64
	maxCreateRev int64

	rev    int64 // get, watch
	prevKV bool  // put, delete, watch

	// put
	val         []byte
	leaseID     LeaseID
	ignoreValue bool
	ignoreLease bool

	// watch
	progressNotify bool
	createdNotify  bool
	filterPut      bool
	filterDelete   bool
	fragment       bool
	listing        *Listing

	// transaction
	cmps    []Cmp
	thenOps []Op
	elseOps []Op

	isOptsWithFromKey bool
	isOptsWithPrefix  bool

	err error // what is wrong with the options
}

// OpGet returns a "get" operation; see [KV.Get].
func OpGet(key string, opts ...OpOption) Op {
	return withOptions(Op{t: tRange, key: []byte(key)}, opts)
}

// OpPut returns a "put" operation; see [KV.Put].
func OpPut(key, val string, opts ...OpOption) Op {
	both := append(append(make([]byte, 0, len(key)+len(val)), key...), val...)
	n := len(key)
	return withOptions(Op{t: tPut, key: both[:n:n], val: both[n:]}, opts)
}

// OpDelete returns a "delete" operation; see [KV.Delete].
func OpDelete(key string, opts ...OpOption) Op {
	return withOptions(Op{t: tDeleteRange, key: []byte(key)}, opts)
}

// OpTxn returns a transaction as an operation, so that transactions can be
// nested; see Txn. The slices are kept and must not be changed.
func OpTxn(cmps []Cmp, thenOps []Op, elseOps []Op) Op {
	return Op{t: tTxn, cmps: cmps, thenOps: thenOps, elseOps: elseOps}
}

// OpWatch returns a "watch" operation, which shows what options mean for a
// watch; it cannot be executed by [KV.Do].
func OpWatch(key string, opts ...OpOption) Op {
	return withOptions(Op{t: tWatch, key: []byte(key)}, opts)
}

// NewOp returns an empty operation to be filled by its With methods.
func NewOp() *Op { return &Op{key: []byte{}} }

// withOptions applies options. Without any, the operation stays off the heap. It is not inlined:
// its copies made programs larger.
//
//go:noinline
func withOptions(op Op, opts []OpOption) Op {
	if len(opts) == 0 {
		return op
	}
	return applied(op, opts)
}

func applied(op Op, opts []OpOption) Op {
	for _, o := range opts {
		if o != nil {
			o(&op)
		}
	}
	op.check()
	return op
}

// check remembers the first option that the operation has no use for.
func (op *Op) check() {
	if op.err != nil {
		return
	}
	if op.isOptsWithPrefix && op.isOptsWithFromKey {
		op.err = etcderr.Invalid("", "WithPrefix and WithFromKey cannot be used together")
	}
	if op.t == tRange {
		op.unfit(op.listing != nil, "WithListing")
		return
	}
	op.unfit(op.t == tPut && op.end != nil, "WithRange, WithPrefix or WithFromKey")
	op.unfit(op.t != tPut && op.leaseID != 0, "WithLease")
	op.unfit(op.limit > 0, "WithLimit")
	op.unfit(op.t != tWatch && op.rev != 0, "WithRev")
	op.unfit(op.sort != nil, "WithSort")
	op.unfit(op.serializable, "WithSerializable")
	op.unfit(op.countOnly, "WithCountOnly")
	op.unfit(op.minModRev != 0, "WithMinModRev")
	op.unfit(op.maxModRev != 0, "WithMaxModRev")
	op.unfit(op.minCreateRev != 0, "WithMinCreateRev")
	op.unfit(op.maxCreateRev != 0, "WithMaxCreateRev")
	if op.listing != nil && op.t == tWatch && op.err == nil && !op.listing.fits(op.key, op.end) {
		op.err = etcderr.Invalid("", "WithListing of other keys than those to be watched")
	}
	if op.t != tWatch {
		op.unfit(op.listing != nil, "WithListing")
		op.unfit(op.filterPut, "WithFilterPut")
		op.unfit(op.filterDelete, "WithFilterDelete")
		op.unfit(op.createdNotify, "WithCreatedNotify")
	}
}

// unfit is not inlined: its copies made programs larger.
//
//go:noinline
func (op *Op) unfit(set bool, option string) {
	if set && op.err == nil {
		op.err = etcderr.Invalid("", "%s does not take the option %s", op.t, option)
	}
}

// invalid says why the operation cannot be executed; nil if it can.
func (op *Op) invalid() error {
	switch {
	case op.err != nil:
		return op.err
	case op.t == 0:
		return etcderr.Invalid("", "the operation is empty; make it with OpGet, OpPut, OpDelete or OpTxn")
	case op.t == tWatch:
		return etcderr.Invalid("", "a watch is not an operation of KV; use Watcher.Watch")
	case op.t == tRange && !op.IsSortOptionValid():
		return errInvalidSort
	case op.t == tTxn:
		return invalidTxn(op.cmps, op.thenOps, op.elseOps)
	}
	return nil
}

func invalidTxn(cmps []Cmp, thenOps, elseOps []Op) error {
	for i := range cmps {
		if cmps[i].pb(); cmps[i].err != nil {
			return cmps[i].err
		}
	}
	for _, ops := range [2][]Op{thenOps, elseOps} {
		for i := range ops {
			if err := ops[i].invalid(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (op *Op) toRangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{}
	op.fillRangeRequest(r)
	return r
}

func (op *Op) fillRangeRequest(r *pb.RangeRequest) {
	r.Key, r.RangeEnd = op.key, op.end
	r.Limit, r.Revision = op.limit, op.rev
	r.Serializable, r.KeysOnly, r.CountOnly = op.serializable, op.keysOnly, op.countOnly
	r.MinModRevision, r.MaxModRevision = op.minModRev, op.maxModRev
	r.MinCreateRevision, r.MaxCreateRevision = op.minCreateRev, op.maxCreateRev
	if op.sort != nil {
		r.SortOrder = pb.RangeRequest_SortOrder(op.sort.Order)
		r.SortTarget = pb.RangeRequest_SortTarget(op.sort.Target)
	}
}

func (op *Op) toPutRequest() *pb.PutRequest {
	r := &pb.PutRequest{}
	op.fillPutRequest(r)
	return r
}

func (op *Op) fillPutRequest(r *pb.PutRequest) {
	r.Key, r.Value, r.Lease = op.key, op.val, int64(op.leaseID)
	r.PrevKv, r.IgnoreValue, r.IgnoreLease = op.prevKV, op.ignoreValue, op.ignoreLease
}

func (op *Op) toDeleteRequest() *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: op.key, RangeEnd: op.end, PrevKv: op.prevKV}
}

func (op *Op) toTxnRequest() *pb.TxnRequest { return txnRequest(op.cmps, op.thenOps, op.elseOps) }

func txnRequest(cmps []Cmp, thenOps, elseOps []Op) *pb.TxnRequest {
	r := &pb.TxnRequest{
		Compare: make([]*pb.Compare, len(cmps)),
		Success: requestOps(thenOps),
		Failure: requestOps(elseOps),
	}
	for i := range cmps {
		r.Compare[i] = cmps[i].pb()
	}
	return r
}

func requestOps(ops []Op) []*pb.RequestOp {
	list := make([]*pb.RequestOp, len(ops))
	for i := range ops {
		op := &ops[i]
		switch op.t {
		case tRange:
			list[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: op.toRangeRequest()}}
		case tPut:
			list[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: op.toPutRequest()}}
		case tDeleteRange:
			list[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: op.toDeleteRequest()}}
		case tTxn:
			list[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: op.toTxnRequest()}}
		}
	}
	return list
}

// IsTxn reports whether the operation is a transaction.
func (op Op) IsTxn() bool { return op.t == tTxn }

// IsPut reports whether the operation is a put.
func (op Op) IsPut() bool { return op.t == tPut }

// IsGet reports whether the operation is a get.
func (op Op) IsGet() bool { return op.t == tRange }

// IsDelete reports whether the operation is a delete.
func (op Op) IsDelete() bool { return op.t == tDeleteRange }

// Txn returns a transaction's comparisons, "then" and "else" operations.
func (op Op) Txn() ([]Cmp, []Op, []Op) { return op.cmps, op.thenOps, op.elseOps }

// KeyBytes returns the key.
func (op Op) KeyBytes() []byte { return op.key }

// WithKeyBytes sets the key.
func (op *Op) WithKeyBytes(key []byte) {
	op.listing = op.listing.moved(op.key, key)
	op.key = key
}

// RangeBytes returns the end of the range, nil if the operation is on one key.
func (op Op) RangeBytes() []byte { return op.end }

// WithRangeBytes sets the end of the range.
func (op *Op) WithRangeBytes(end []byte) { op.end = end }

// ValueBytes returns the value of a put.
func (op Op) ValueBytes() []byte { return op.val }

// WithValueBytes sets the value of a put.
func (op *Op) WithValueBytes(v []byte) { op.val = v }

// Rev returns the requested revision, 0 if none.
func (op Op) Rev() int64 { return op.rev }

// Limit returns the limit on the number of keys, 0 if none.
func (op Op) Limit() int64 { return op.limit }

// IsSerializable reports whether [WithSerializable] is set.
func (op Op) IsSerializable() bool { return op.serializable }

// IsKeysOnly reports whether [WithKeysOnly] is set.
func (op Op) IsKeysOnly() bool { return op.keysOnly }

// IsCountOnly reports whether [WithCountOnly] is set.
func (op Op) IsCountOnly() bool { return op.countOnly }

// IsPrevKV reports whether [WithPrevKV] is set.
func (op Op) IsPrevKV() bool { return op.prevKV }

// IsFragment reports whether [WithFragment] is set.
func (op Op) IsFragment() bool { return op.fragment }

// IsProgressNotify reports whether [WithProgressNotify] is set.
func (op Op) IsProgressNotify() bool { return op.progressNotify }

// IsCreatedNotify reports whether [WithCreatedNotify] is set.
func (op Op) IsCreatedNotify() bool { return op.createdNotify }

// IsFilterPut reports whether [WithFilterPut] is set.
func (op Op) IsFilterPut() bool { return op.filterPut }

// IsFilterDelete reports whether [WithFilterDelete] is set.
func (op Op) IsFilterDelete() bool { return op.filterDelete }

// MinModRev returns the least modification revision of keys to return.
func (op Op) MinModRev() int64 { return op.minModRev }

// MaxModRev returns the greatest modification revision of keys to return.
func (op Op) MaxModRev() int64 { return op.maxModRev }

// MinCreateRev returns the least creation revision of keys to return.
func (op Op) MinCreateRev() int64 { return op.minCreateRev }

// MaxCreateRev returns the greatest creation revision of keys to return.
func (op Op) MaxCreateRev() int64 { return op.maxCreateRev }

// IsOptsWithFromKey reports whether [WithFromKey] is set.
func (op Op) IsOptsWithFromKey() bool { return op.isOptsWithFromKey }

// IsOptsWithPrefix reports whether [WithPrefix] is set.
func (op Op) IsOptsWithPrefix() bool { return op.isOptsWithPrefix }

// IsSortSet reports whether the result has to be sorted by the server.
func (op Op) IsSortSet() bool { return op.sort != nil }

// IsSortOptionValid reports whether order and target of [WithSort] exist.
func (op Op) IsSortOptionValid() bool {
	if op.sort == nil {
		return true
	}
	_, order := pb.RangeRequest_SortOrder_name[int32(op.sort.Order)]
	_, target := pb.RangeRequest_SortTarget_name[int32(op.sort.Target)]
	return order && target
}
