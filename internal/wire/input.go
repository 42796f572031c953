package wire

// input is the unread part of a message that lies in several buffers. The parts that are read are
// contiguous: a part in one buffer is a view of that buffer, any other is copied together. The zero
// value has nothing to read. A copy of an input reads the same again.

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

type input struct {
	cur  []byte          // never empty while something is left
	rest mem.BufferSlice // what follows cur
	left int             // unread bytes; cur and rest may hold more than that
}

func newInput(data mem.BufferSlice, size int) input {
	in := input{rest: data, left: size}
	in.refill()
	return in
}

// refill makes cur the next buffer that is not empty.
func (in *input) refill() {
	for len(in.cur) == 0 && len(in.rest) > 0 && in.left > 0 {
		in.cur = in.rest[0].ReadOnlyData()
		in.rest = in.rest[1:]
	}
	if len(in.cur) > in.left {
		in.cur = in.cur[:in.left]
	}
}

// advance moves over n bytes of cur.
func (in *input) advance(n int) {
	in.cur = in.cur[n:]
	in.left -= n
	if len(in.cur) == 0 {
		in.refill()
	}
}

// maxVarint is the length of the longest varint.
const maxVarint = 10

// varint reads a number; false if there is none.
func (in *input) varint() (uint64, bool) {
	if len(in.cur) > 0 && in.cur[0] < 0x80 {
		v := uint64(in.cur[0])
		in.advance(1)
		return v, true
	}
	if len(in.cur) >= maxVarint || len(in.cur) == in.left {
		v, n := protowire.ConsumeVarint(in.cur)
		if n < 0 {
			return 0, false
		}
		in.advance(n)
		return v, true
	}
	var joined [maxVarint]byte
	ahead := *in
	n := 0
	for ; n < maxVarint && ahead.left > 0; n++ {
		joined[n] = ahead.cur[0]
		ahead.advance(1)
	}
	v, n := protowire.ConsumeVarint(joined[:n])
	if n < 0 {
		return 0, false
	}
	for range n {
		in.advance(1)
	}
	return v, true
}

// number reads a field that holds a number, its tag of one byte first.
func (in *input) number(to *int64) bool {
	in.advance(1)
	v, ok := in.varint()
	*to = int64(v)
	return ok
}

// flag is number for a truth value.
func (in *input) flag(to *bool) bool {
	in.advance(1)
	v, ok := in.varint()
	*to = v != 0
	return ok
}

// body reads the tag of one byte and the length of a field whose bytes follow.
func (in *input) body() (int, bool) {
	in.advance(1)
	return in.length()
}

// length reads the length of what follows; false if that is not there in full.
func (in *input) length() (int, bool) {
	v, ok := in.varint()
	if !ok || v > uint64(in.left) {
		return 0, false
	}
	return int(v), true
}

// skip moves over n bytes, which are there.
func (in *input) skip(n int) {
	for n > len(in.cur) {
		n -= len(in.cur)
		in.advance(len(in.cur))
	}
	in.advance(n)
}

// take reads n bytes, which are there. They may be a view of a buffer.
func (in *input) take(n int) []byte {
	if n <= len(in.cur) {
		b := in.cur[:n:n]
		in.advance(n)
		return b
	}
	b := make([]byte, n)
	in.read(b)
	return b
}

// read fills b with what follows, of which there is enough.
func (in *input) read(b []byte) {
	for len(b) > 0 {
		n := copy(b, in.cur)
		b = b[n:]
		in.advance(n)
	}
}

// sub is the input of the next n bytes, which are there, and moves over them.
func (in *input) sub(n int) input {
	s := *in
	s.left = n
	if len(s.cur) > n {
		s.cur = s.cur[:n]
	}
	in.skip(n)
	return s
}
