// Package wire is the codec of the hot messages: the answers to ranges and
// watches, also within transactions and range streams, and the requests for ranges,
// puts and transactions. It reads and writes the api module's own structs by hand.
// All other messages go through the protobuf library.
//
// # What a message costs
//
// Structs and bytes of key-values and events are cut from groups of 12 KiB, so that decoding a long
// message makes few allocations, and a part that the user keeps holds at most 16 KiB more than
// itself in memory. A decoded message never refers to receive buffers. Encoding writes into reused
// buffers, which gRPC gives back.
//
// # What is decoded how
//
// The decoder reads the forms that servers send. When it meets another valid form (a field with
// another wire type than declared, a message in two parts) or an invalid one, the protobuf library
// decodes the whole message, and its verdict counts. Unknown fields are kept. So the result is
// always the same as that of proto.Unmarshal; fuzz tests compare the two.
//
// # Concurrency
//
// All functions are safe for concurrent use; a message that is being encoded must not be
// changed meanwhile.
package wire

import (
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// Codec is a gRPC codec for all messages of etcd.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is empty, which stands for gRPC's plain content type, the one that every
// server knows.
func (Codec) Name() string { return "" }

// Marshal encodes a message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	if n, ok := size(v); ok {
		if _, ok := v.(*pb.LeaseKeepAliveRequest); ok && n <= tinySize {
			t := new(tiny)
			t.slice[0] = mem.SliceBuffer(appendTo(t.bytes[:0], v))
			return t.slice[:], nil
		}
		buf := get(n)
		*buf = appendTo((*buf)[:0], v)
		return mem.BufferSlice{mem.NewBuffer(buf, &buffers)}, nil
	}
	m := message(v)
	if m == nil {
		return nil, fmt.Errorf("wire: %T is not a protobuf message", v)
	}
	buf := get(proto.Size(m))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], m)
	if err != nil {
		buffers.Put(buf)
		return nil, err
	}
	*buf = b
	return mem.BufferSlice{mem.NewBuffer(buf, &buffers)}, nil
}

// Size returns the number of bytes that Marshal makes of a message; 0 if v is not a message.
func Size(v any) int {
	if n, ok := size(v); ok {
		return n
	}
	if m := message(v); m != nil {
		return proto.Size(m)
	}
	return 0
}

// tinySize is enough for a renewal of a lease. Hundreds of them are sent at once, so that more wait
// to be written than the pool has buffers, which are also far larger than necessary.
const tinySize = 16

type tiny struct {
	_ [0]func() // not comparable, see balancer.conn

	slice [1]mem.Buffer
	bytes [tinySize]byte
}

// Unmarshal decodes a message. data may be reused afterwards.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if decode(data, v) {
		return nil
	}
	m := message(v)
	if m == nil {
		return fmt.Errorf("wire: %T is not a protobuf message", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return proto.Unmarshal(buf.ReadOnlyData(), m)
}

// decode is the decoder by hand; false if v is not one of its messages or the data do not have the
// usual form.
func decode(data mem.BufferSlice, v any) bool {
	var d decoder
	in := newInput(data, data.Len())
	switch m := v.(type) {
	case *pb.RangeResponse:
		m.Reset()
		return d.rangeResponse(in, m)
	case *pb.RangeStreamResponse:
		m.Reset()
		return d.rangeStream(in, m)
	case *pb.PutResponse:
		m.Reset()
		return d.putResponse(in, m)
	case *pb.TxnResponse:
		m.Reset()
		return d.txnResponse(in, m, 0)
	case *pb.WatchResponse:
		m.Reset()
		return d.watchResponse(in, m)
	case *pb.LeaseKeepAliveResponse:
		m.Reset()
		return d.keepAlive(in, m)
	}
	return false
}

func message(v any) proto.Message {
	switch m := v.(type) {
	case proto.Message:
		return m
	case protoadapt.MessageV1:
		return protoadapt.MessageV2Of(m)
	}
	return nil
}

// pool gives small encoded messages their buffers. gRPC reuses only buffers above a size that few
// requests have; the capacity of these is above it. Larger ones come from gRPC's own pool.
type pool struct{ small sync.Pool }

const smallBuffer = 2 << 10

var buffers pool

func get(size int) *[]byte {
	if size > smallBuffer {
		return mem.DefaultBufferPool().Get(size)
	}
	if b, ok := buffers.small.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, smallBuffer)
	return &b
}

// Get is for mem.BufferPool.
func (*pool) Get(size int) *[]byte {
	b := get(size)
	*b = (*b)[:size]
	return b
}

// Put takes a buffer back.
func (p *pool) Put(b *[]byte) {
	if cap(*b) == smallBuffer {
		p.small.Put(b)
		return
	}
	mem.DefaultBufferPool().Put(b)
}
