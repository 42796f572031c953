package wire

// The decoder of answers. Its methods return false if the data do not have the usual form; the
// fields that they have filled in by then are dropped.

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// tag returns the first byte of a field: the tags of all fields up to number 15 have one byte.
func tag(field, wireType byte) byte { return field<<3 | wireType }

const (
	varintType = byte(protowire.VarintType)
	bytesType  = byte(protowire.BytesType)
)

// decoder is the memory of one message.
type decoder struct{ group }

// chunk reads a field of bytes from b, and returns its value and the rest.
func chunk(b []byte) (v, rest []byte, ok bool) {
	if len(b) > 0 && int(b[0]) < len(b) && b[0] < 0x80 {
		n := int(b[0]) + 1
		return b[1:n], b[n:], true
	}
	v, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, nil, false
	}
	return v, b[n:], true
}

// varint reads a number from b, and returns it and the rest.
func varint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// unknown keeps the field that b begins with, unless it is one of the message's known fields in an
// unusual form, and returns the rest.
func unknown(m proto.Message, b []byte, known ...protowire.Number) (rest []byte, ok bool) {
	num, typ, t := protowire.ConsumeTag(b)
	if t < 0 || num > protowire.MaxValidNumber || slices.Contains(known, num) {
		return nil, false
	}
	n := protowire.ConsumeFieldValue(num, typ, b[t:])
	if n < 0 {
		return nil, false
	}
	r := m.ProtoReflect()
	// The tag is written again: it may have been longer than necessary, and the library corrects
	// that.
	kept := protowire.AppendTag(r.GetUnknown(), num, typ)
	r.SetUnknown(append(kept, b[t:t+n]...))
	return b[t+n:], true
}

// unknownIn is unknown for a field of an input. Groups, which are long out of use, are
// left to the library.
func unknownIn(m proto.Message, in *input, known ...protowire.Number) bool {
	ahead := *in
	v, ok := ahead.varint()
	if !ok {
		return false
	}
	size := 0
	switch _, typ := protowire.DecodeTag(v); typ {
	case protowire.VarintType:
		_, ok = ahead.varint()
	case protowire.BytesType:
		size, ok = ahead.length()
	case protowire.Fixed32Type:
		size = 4
	case protowire.Fixed64Type:
		size = 8
	default:
		return false
	}
	if !ok || size > ahead.left {
		return false
	}
	b := in.take(in.left - ahead.left + size)
	_, ok = unknown(m, b, known...)
	return ok
}

// header decodes the header that in begins with, into h if that is not nil.
func (d *decoder) header(in *input, to **pb.ResponseHeader, h *pb.ResponseHeader) bool {
	n, ok := in.body()
	if !ok || *to != nil {
		return false
	}
	if h == nil {
		h = new(pb.ResponseHeader)
	}
	*to = h
	b := in.take(n)
	for len(b) > 0 {
		var v uint64
		switch t := b[0]; t {
		case tag(1, varintType), tag(2, varintType), tag(3, varintType), tag(4, varintType):
			if v, b, ok = varint(b[1:]); !ok {
				return false
			}
			switch t >> 3 {
			case 1:
				h.ClusterId = v
			case 2:
				h.MemberId = v
			case 3:
				h.Revision = int64(v)
			default:
				h.RaftTerm = v
			}
		default:
			if b, ok = unknown(h, b, 1, 2, 3, 4); !ok {
				return false
			}
		}
	}
	return true
}

// keyValue decodes one key-value. own: b may be kept.
func (d *decoder) keyValue(b []byte, own bool, kv *mvccpb.KeyValue) bool {
	ok := true
	for len(b) > 0 {
		var v uint64
		switch t := b[0]; t {
		case tag(1, bytesType), tag(5, bytesType):
			var f []byte
			if f, b, ok = chunk(b[1:]); !ok {
				return false
			}
			if !own {
				f = d.bytes(f)
			}
			f = f[:len(f):len(f)]
			if t == tag(1, bytesType) {
				kv.Key = f
			} else {
				kv.Value = f
			}
		case tag(2, varintType), tag(3, varintType), tag(4, varintType), tag(6, varintType):
			if v, b, ok = varint(b[1:]); !ok {
				return false
			}
			switch t >> 3 {
			case 2:
				kv.CreateRevision = int64(v)
			case 3:
				kv.ModRevision = int64(v)
			case 4:
				kv.Version = int64(v)
			default:
				kv.Lease = int64(v)
			}
		default:
			if b, ok = unknown(kv, b, 1, 2, 3, 4, 5, 6); !ok {
				return false
			}
		}
	}
	return true
}

// nextKV decodes the key-value that in begins with, the first of n, into kv or, if that is nil, a
// new one.
func (d *decoder) nextKV(in *input, n int, kv *mvccpb.KeyValue) (*mvccpb.KeyValue, bool) {
	size, ok := in.body()
	if !ok {
		return nil, false
	}
	if kv == nil {
		kv = d.kv(size, n, in.left-size)
	} else {
		d.single(size)
	}
	b, own := d.take(in, size)
	return kv, d.keyValue(b, own, kv)
}

// count returns how many fields with tag t a message has, as far as it can be read.
func count(in input, t byte) int {
	n := 0
	for in.left > 0 {
		v, ok := in.varint()
		if !ok {
			return n
		}
		switch {
		case v == uint64(t):
			n++
			fallthrough
		case protowire.Type(v&7) == protowire.BytesType:
			size, ok := in.length()
			if !ok {
				return n
			}
			in.skip(size)
		case protowire.Type(v&7) == protowire.VarintType:
			if _, ok := in.varint(); !ok {
				return n
			}
		default:
			return n
		}
	}
	return n
}

// oneKV is the answer to a read of one key, all but its bytes.
type oneKV struct {
	header pb.ResponseHeader
	kvs    [1]*mvccpb.KeyValue
	kv     mvccpb.KeyValue
}

func (d *decoder) rangeResponse(in input, m *pb.RangeResponse) bool {
	n := count(in, tag(2, bytesType))
	var h *pb.ResponseHeader
	switch n {
	case 0:
	case 1:
		one := new(oneKV)
		h, m.Kvs, one.kvs[0] = &one.header, one.kvs[:0], &one.kv
	default:
		m.Kvs = make([]*mvccpb.KeyValue, 0, n)
	}
	for in.left > 0 {
		var ok bool
		switch in.cur[0] {
		case tag(1, bytesType):
			ok = d.header(&in, &m.Header, h)
		case tag(2, bytesType):
			i := len(m.Kvs)
			if i == cap(m.Kvs) {
				return false // the fields could not be counted
			}
			m.Kvs = m.Kvs[:i+1]
			m.Kvs[i], ok = d.nextKV(&in, n-i, m.Kvs[i])
		case tag(3, varintType):
			ok = in.flag(&m.More)
		case tag(4, varintType):
			ok = in.number(&m.Count)
		default:
			ok = unknownIn(m, &in, 1, 2, 3, 4)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (d *decoder) rangeStream(in input, m *pb.RangeStreamResponse) bool {
	for in.left > 0 {
		var ok bool
		switch in.cur[0] {
		case tag(1, bytesType):
			n, there := in.body()
			if !there || m.RangeResponse != nil {
				return false
			}
			m.RangeResponse = new(pb.RangeResponse)
			ok = d.rangeResponse(in.sub(n), m.RangeResponse)
		default:
			ok = unknownIn(m, &in, 1)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (d *decoder) putResponse(in input, m *pb.PutResponse) bool {
	for in.left > 0 {
		var ok bool
		switch in.cur[0] {
		case tag(1, bytesType):
			ok = d.header(&in, &m.Header, nil)
		case tag(2, bytesType):
			if m.PrevKv != nil {
				return false
			}
			m.PrevKv, ok = d.nextKV(&in, 1, nil)
		default:
			ok = unknownIn(m, &in, 1, 2)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (d *decoder) keepAlive(in input, m *pb.LeaseKeepAliveResponse) bool {
	for in.left > 0 {
		var ok bool
		switch in.cur[0] {
		case tag(1, bytesType):
			ok = d.header(&in, &m.Header, nil)
		case tag(2, varintType):
			ok = in.number(&m.ID)
		case tag(3, varintType):
			ok = in.number(&m.TTL)
		default:
			ok = unknownIn(m, &in, 1, 2, 3)
		}
		if !ok {
			return false
		}
	}
	return true
}
