package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// CompareTarget is what a comparison looks at.
type CompareTarget int

// CompareResult is the relation that a comparison asks for.
type CompareResult int

const (
	CompareVersion CompareTarget = iota
	CompareCreated
	CompareModified
	CompareValue
)

// Cmp is one comparison of a transaction, made by Compare from one of Value,
// Version, [CreateRevision], [ModRevision] and [LeaseValue]. A mistake in it is
// reported when the transaction is committed; nothing is sent then.
type Cmp struct {
	c   *pb.Compare
	err error // what is wrong with it
}

// Compare makes a comparison: cmp says of which key what is looked at, result is
// one of "=", "!=", ">" and "<", and v is what it is compared with: a string for
// Value, an integer (int or int64) for the others, a [LeaseID] for [LeaseValue].
func Compare(cmp Cmp, result string, v any) Cmp {
	if cmp.c == nil {
		return Cmp{
			c: &pb.Compare{},
			err: etcderr.Invalid("",
				"comparison without a target; begin with Value, Version, CreateRevision, ModRevision or LeaseValue"),
		}
	}
	out := cmp.Clone()
	switch result {
	case "=":
		out.c.Result = pb.Compare_EQUAL
	case "!=":
		out.c.Result = pb.Compare_NOT_EQUAL
	case ">":
		out.c.Result = pb.Compare_GREATER
	case "<":
		out.c.Result = pb.Compare_LESS
	default:
		out.err = etcderr.Invalid("", "unknown comparison %q, want =, !=, > or <", result)
		return out
	}
	if out.c.Target == pb.Compare_VALUE {
		s, ok := v.(string)
		if !ok {
			out.err = etcderr.Invalid("", "a value is compared with a string, not with a %T", v)
		}
		out.c.TargetUnion = &pb.Compare_Value{Value: []byte(s)}
		return out
	}
	var n int64
	switch i := v.(type) {
	case int64:
		n = i
	case int:
		n = int64(i)
	case LeaseID:
		n = int64(i)
	default:
		out.err = etcderr.Invalid("", "a revision, version or lease is compared with an integer, not with a %T", v)
	}
	switch out.c.Target {
	case pb.Compare_VERSION:
		out.c.TargetUnion = &pb.Compare_Version{Version: n}
	case pb.Compare_CREATE:
		out.c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: n}
	case pb.Compare_MOD:
		out.c.TargetUnion = &pb.Compare_ModRevision{ModRevision: n}
	case pb.Compare_LEASE:
		out.c.TargetUnion = &pb.Compare_Lease{Lease: n}
	default:
		out.err = etcderr.Invalid("", "unknown comparison target %v", out.c.Target)
	}
	return out
}

// target is not inlined: its copies made programs larger.
//
//go:noinline
func target(key string, t pb.Compare_CompareTarget) Cmp {
	return Cmp{c: &pb.Compare{Key: []byte(key), Target: t}}
}

// Value compares the key's value, byte by byte.
func Value(key string) Cmp { return target(key, pb.Compare_VALUE) }

// Version compares how often the key was written since it was created; 0 means
// that it does not exist.
func Version(key string) Cmp { return target(key, pb.Compare_VERSION) }

// CreateRevision compares the revision at which the key was created; 0 means that
// it does not exist.
func CreateRevision(key string) Cmp { return target(key, pb.Compare_CREATE) }

// ModRevision compares the revision at which the key was last written.
func ModRevision(key string) Cmp { return target(key, pb.Compare_MOD) }

// LeaseValue compares the id of the key's lease; [NoLease] means that it has none.
func LeaseValue(key string) Cmp { return target(key, pb.Compare_LEASE) }

// FromCompare makes a Cmp of the wire form. c is kept.
func FromCompare(c *pb.Compare) Cmp {
	if c == nil {
		return Cmp{c: &pb.Compare{}, err: etcderr.Invalid("", "the comparison is nil")}
	}
	return Cmp{c: c}
}

// GetCompare returns the wire form. It belongs to the comparison.
func (cmp *Cmp) GetCompare() *pb.Compare { return cmp.pb() }

// pb returns the wire form, never nil.
func (cmp *Cmp) pb() *pb.Compare {
	if cmp.c == nil {
		cmp.c = &pb.Compare{}
		cmp.err = etcderr.Invalid("", "the comparison is empty")
	}
	return cmp.c
}

// Clone returns a copy that shares nothing with the original.
func (cmp *Cmp) Clone() Cmp {
	return Cmp{c: proto.Clone(cmp.pb()).(*pb.Compare), err: cmp.err}
}

// KeyBytes returns the key.
func (cmp *Cmp) KeyBytes() []byte { return cmp.pb().Key }

// WithKeyBytes sets the key.
func (cmp *Cmp) WithKeyBytes(key []byte) { cmp.pb().Key = key }

// ValueBytes returns the value to compare with, nil if it is not a value that is
// compared.
func (cmp *Cmp) ValueBytes() []byte { return cmp.pb().GetValue() }

// WithValueBytes sets the value to compare with.
func (cmp *Cmp) WithValueBytes(v []byte) { cmp.pb().TargetUnion = &pb.Compare_Value{Value: v} }

// WithRange makes the comparison hold only if it does for all keys from the key up to but not
// including end.
func (cmp Cmp) WithRange(end string) Cmp {
	out := cmp.Clone()
	out.c.RangeEnd = []byte(end)
	return out
}

// WithPrefix makes the comparison hold only if it does for all keys that begin
// with the key.
func (cmp Cmp) WithPrefix() Cmp {
	out := cmp.Clone()
	out.c.RangeEnd = prefixEnd(out.c.Key)
	return out
}
