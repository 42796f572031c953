package wire

// The encoder of requests: sizes first, then the bytes, as a submessage is preceded by
// its length. Fields are written in the order of their numbers, those with their
// default value not at all, unknown ones last; so does the library.

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// size is the encoded size of v; false if v is not one of the encoder's messages.
func size(v any) (int, bool) {
	switch m := v.(type) {
	case *pb.RangeRequest:
		if m != nil {
			return sizeRange(m), true
		}
	case *pb.PutRequest:
		if m != nil {
			return sizePut(m), true
		}
	case *pb.TxnRequest:
		if m != nil {
			return sizeTxn(m, 0)
		}
	case *pb.LeaseKeepAliveRequest:
		if m != nil {
			return sizeNumber(m.ID) + len(unknownOf(m)), true
		}
	}
	return 0, false
}

// appendTo encodes v, of which size has given the size.
func appendTo(b []byte, v any) []byte {
	switch m := v.(type) {
	case *pb.RangeRequest:
		return appendRange(b, m)
	case *pb.PutRequest:
		return appendPut(b, m)
	case *pb.TxnRequest:
		return appendTxn(b, m)
	case *pb.LeaseKeepAliveRequest:
		return append(appendNumber(b, 1, m.ID), unknownOf(m)...)
	}
	return b
}

func unknownOf(m proto.Message) []byte { return m.ProtoReflect().GetUnknown() }

// sizeNumber is the size of a number with its tag of one byte.
func sizeNumber[T ~int64 | ~int32](v T) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(int64(v)))
}

func sizeBool(v bool) int {
	if v {
		return 2
	}
	return 0
}

// sizeChunk is the size of n bytes with their tag of one byte and their length.
func sizeChunk(n int) int { return 1 + protowire.SizeBytes(n) }

func sizeBytes(v []byte) int {
	if len(v) == 0 {
		return 0
	}
	return sizeChunk(len(v))
}

func appendNumber[T ~int64 | ~int32](b []byte, field byte, v T) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag(field, varintType)), uint64(int64(v)))
}

func appendBool(b []byte, field byte, v bool) []byte {
	if !v {
		return b
	}
	return append(b, tag(field, varintType), 1)
}

func appendBytes(b []byte, field byte, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(append(b, tag(field, bytesType)), v)
}

// appendLength begins a submessage of n bytes.
func appendLength(b []byte, field byte, n int) []byte {
	return protowire.AppendVarint(append(b, tag(field, bytesType)), uint64(n))
}

func sizeRange(m *pb.RangeRequest) int {
	return sizeBytes(m.Key) + sizeBytes(m.RangeEnd) + sizeNumber(m.Limit) + sizeNumber(m.Revision) +
		sizeNumber(m.SortOrder) + sizeNumber(m.SortTarget) +
		sizeBool(m.Serializable) + sizeBool(m.KeysOnly) + sizeBool(m.CountOnly) +
		sizeNumber(m.MinModRevision) + sizeNumber(m.MaxModRevision) +
		sizeNumber(m.MinCreateRevision) + sizeNumber(m.MaxCreateRevision) + len(unknownOf(m))
}

func appendRange(b []byte, m *pb.RangeRequest) []byte {
	b = appendBytes(b, 1, m.Key)
	b = appendBytes(b, 2, m.RangeEnd)
	b = appendNumber(b, 3, m.Limit)
	b = appendNumber(b, 4, m.Revision)
	b = appendNumber(b, 5, m.SortOrder)
	b = appendNumber(b, 6, m.SortTarget)
	b = appendBool(b, 7, m.Serializable)
	b = appendBool(b, 8, m.KeysOnly)
	b = appendBool(b, 9, m.CountOnly)
	b = appendNumber(b, 10, m.MinModRevision)
	b = appendNumber(b, 11, m.MaxModRevision)
	b = appendNumber(b, 12, m.MinCreateRevision)
	b = appendNumber(b, 13, m.MaxCreateRevision)
	return append(b, unknownOf(m)...)
}

func sizePut(m *pb.PutRequest) int {
	return sizeBytes(m.Key) + sizeBytes(m.Value) + sizeNumber(m.Lease) +
		sizeBool(m.PrevKv) + sizeBool(m.IgnoreValue) + sizeBool(m.IgnoreLease) + len(unknownOf(m))
}

func appendPut(b []byte, m *pb.PutRequest) []byte {
	b = appendBytes(b, 1, m.Key)
	b = appendBytes(b, 2, m.Value)
	b = appendNumber(b, 3, m.Lease)
	b = appendBool(b, 4, m.PrevKv)
	b = appendBool(b, 5, m.IgnoreValue)
	b = appendBool(b, 6, m.IgnoreLease)
	return append(b, unknownOf(m)...)
}

func sizeDelete(m *pb.DeleteRangeRequest) int {
	return sizeBytes(m.Key) + sizeBytes(m.RangeEnd) + sizeBool(m.PrevKv) + len(unknownOf(m))
}

func appendDelete(b []byte, m *pb.DeleteRangeRequest) []byte {
	b = appendBytes(b, 1, m.Key)
	b = appendBytes(b, 2, m.RangeEnd)
	b = appendBool(b, 3, m.PrevKv)
	return append(b, unknownOf(m)...)
}
