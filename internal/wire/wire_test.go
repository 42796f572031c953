package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// answers are the kinds of messages that the decoder knows, and one that it does not.
var answers = []func() proto.Message{
	func() proto.Message { return new(pb.RangeResponse) },
	func() proto.Message { return new(pb.RangeStreamResponse) },
	func() proto.Message { return new(pb.PutResponse) },
	func() proto.Message { return new(pb.TxnResponse) },
	func() proto.Message { return new(pb.WatchResponse) },
	func() proto.Message { return new(pb.LeaseKeepAliveResponse) },
	func() proto.Message { return new(pb.StatusResponse) },
}

var requests = []func() proto.Message{
	func() proto.Message { return new(pb.RangeRequest) },
	func() proto.Message { return new(pb.PutRequest) },
	func() proto.Message { return new(pb.TxnRequest) },
	func() proto.Message { return new(pb.LeaseKeepAliveRequest) },
	func() proto.Message { return new(pb.WatchRequest) },
}

// spoiler is a pool whose buffers are overwritten as soon as they are given back.
type spoiler struct{}

func (spoiler) Get(n int) *[]byte { b := make([]byte, n); return &b }

func (spoiler) Put(b *[]byte) {
	for i := range *b {
		(*b)[i] = 0xff
	}
}

// split puts data into buffers of at most n bytes, after an empty one, as gRPC has them: each
// of one frame.
func split(data []byte, n int) mem.BufferSlice {
	out := mem.BufferSlice{mem.SliceBuffer(nil)}
	for len(data) > 0 {
		k := min(n, len(data))
		b := bytes.Clone(data[:k])
		out = append(out, mem.NewBuffer(&b, spoiler{}))
		data = data[k:]
	}
	return out
}

// same decodes data by hand and with the library and compares.
func same(t *testing.T, make func() proto.Message, data []byte, n int) {
	t.Helper()
	want, got := make(), make()
	in := split(data, n)
	wantErr := proto.Unmarshal(data, want)
	gotErr := Codec{}.Unmarshal(in, got)
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("%T of %x: error %v, want %v", got, data, gotErr, wantErr)
	}
	if wantErr != nil {
		return
	}
	in.Free() // what the message does not keep is overwritten
	if !proto.Equal(got, want) {
		t.Fatalf("%T in buffers of %d:\n got %v\nwant %v", got, n, got, want)
	}
	a, err := proto.MarshalOptions{Deterministic: true}.Marshal(got)
	b, err2 := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Fatalf("%T encodes to\n%x, want\n%x (%v, %v)", got, a, b, err, err2)
	}
}

// sameEncoded encodes a message by hand and with the library and compares.
func sameEncoded(t *testing.T, m proto.Message) {
	t.Helper()
	want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one in the buffer of the first
		got, err := Codec{}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if b := got.Materialize(); !bytes.Equal(b, want) {
			t.Fatalf("%T %v:\n got %x\nwant %x", m, m, b, want)
		}
		got.Free()
	}
}

// random makes messages.
type random struct{ *rand.Rand }

func (r random) num() int64 {
	switch r.IntN(4) {
	case 0:
		return 0
	case 1:
		return int64(r.IntN(200))
	case 2:
		return -int64(r.Uint64() >> 1)
	}
	return int64(r.Uint64() >> r.IntN(64))
}

func (r random) bytes() []byte {
	n := []int{0, 1, 5, 127, 128, 300, 5000}[r.IntN(7)]
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (r random) unknown(m proto.Message) {
	if r.IntN(8) > 0 {
		return
	}
	var b []byte
	switch num := protowire.Number(20 + r.IntN(3000)); r.IntN(4) {
	case 0:
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), r.Uint64())
	case 1:
		b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), r.bytes())
	case 2:
		b = protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), r.Uint64())
	case 3:
		b = protowire.AppendTag(b, num, protowire.StartGroupType)
		b = protowire.AppendFixed32(protowire.AppendTag(b, num+1, protowire.Fixed32Type), r.Uint32())
		b = protowire.AppendTag(b, num, protowire.EndGroupType)
	}
	m.ProtoReflect().SetUnknown(b)
}

func (r random) header() *pb.ResponseHeader {
	if r.IntN(5) == 0 {
		return nil
	}
	h := &pb.ResponseHeader{ClusterId: r.Uint64(), MemberId: r.Uint64(), Revision: r.num(), RaftTerm: uint64(r.num())}
	r.unknown(h)
	return h
}

func (r random) kv() *mvccpb.KeyValue {
	kv := &mvccpb.KeyValue{
		Key:            r.bytes(),
		CreateRevision: r.num(),
		ModRevision:    r.num(),
		Version:        r.num(),
		Value:          r.bytes(),
		Lease:          r.num(),
	}
	r.unknown(kv)
	return kv
}

func (r random) few() int { return []int{0, 1, 2, 7, 40}[r.IntN(5)] }

func (r random) ranged() *pb.RangeResponse {
	m := &pb.RangeResponse{Header: r.header(), More: r.IntN(2) == 0, Count: r.num()}
	for range r.few() {
		m.Kvs = append(m.Kvs, r.kv())
	}
	r.unknown(m)
	return m
}

func (r random) txn(depth int) *pb.TxnResponse {
	m := &pb.TxnResponse{Header: r.header(), Succeeded: r.IntN(2) == 0}
	for range r.IntN(4) {
		op := &pb.ResponseOp{}
		switch r.IntN(5) {
		case 0:
			op.Response = &pb.ResponseOp_ResponseRange{ResponseRange: r.ranged()}
		case 1:
			p := &pb.PutResponse{Header: r.header()}
			if r.IntN(2) == 0 {
				p.PrevKv = r.kv()
			}
			op.Response = &pb.ResponseOp_ResponsePut{ResponsePut: p}
		case 2:
			d := &pb.DeleteRangeResponse{Header: r.header(), Deleted: r.num()}
			for range r.few() {
				d.PrevKvs = append(d.PrevKvs, r.kv())
			}
			op.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: d}
		case 3:
			if depth < 20 {
				op.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: r.txn(depth + 1 + r.IntN(10))}
			}
		}
		r.unknown(op)
		m.Responses = append(m.Responses, op)
	}
	r.unknown(m)
	return m
}

func (r random) watch() *pb.WatchResponse {
	m := &pb.WatchResponse{
		Header:          r.header(),
		WatchId:         r.num(),
		Created:         r.IntN(2) == 0,
		Canceled:        r.IntN(2) == 0,
		CompactRevision: r.num(),
		Fragment:        r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		m.CancelReason = "etcdserver: what was wrong, ö"
	}
	for range r.few() {
		e := &mvccpb.Event{Type: mvccpb.Event_EventType(r.num())}
		if r.IntN(5) > 0 {
			e.Kv = r.kv()
		}
		if r.IntN(3) == 0 {
			e.PrevKv = r.kv()
		}
		r.unknown(e)
		m.Events = append(m.Events, e)
	}
	r.unknown(m)
	return m
}

func (r random) answer(kind int) proto.Message {
	switch kind {
	case 0:
		return r.ranged()
	case 1:
		m := &pb.RangeStreamResponse{RangeResponse: r.ranged()}
		r.unknown(m)
		return m
	case 2:
		return &pb.PutResponse{Header: r.header(), PrevKv: r.kv()}
	case 3:
		return r.txn(0)
	case 4:
		return r.watch()
	case 5:
		return &pb.LeaseKeepAliveResponse{Header: r.header(), ID: r.num(), TTL: r.num()}
	}
	return &pb.StatusResponse{Header: r.header(), Version: "3.7", DbSize: r.num(), Errors: []string{"a", "b"}}
}

func (r random) rangeRequest() *pb.RangeRequest {
	m := &pb.RangeRequest{Key: r.bytes(), RangeEnd: r.bytes(), Limit: r.num(), Revision: r.num(),
		SortOrder: pb.RangeRequest_SortOrder(r.num()), SortTarget: pb.RangeRequest_SortTarget(r.num()),
		Serializable: r.IntN(2) == 0, KeysOnly: r.IntN(2) == 0, CountOnly: r.IntN(2) == 0,
		MinModRevision: r.num(), MaxModRevision: r.num(), MinCreateRevision: r.num(), MaxCreateRevision: r.num()}
	r.unknown(m)
	return m
}

func (r random) putRequest() *pb.PutRequest {
	m := &pb.PutRequest{
		Key:         r.bytes(),
		Value:       r.bytes(),
		Lease:       r.num(),
		PrevKv:      r.IntN(2) == 0,
		IgnoreValue: r.IntN(2) == 0,
		IgnoreLease: r.IntN(2) == 0,
	}
	r.unknown(m)
	return m
}

func (r random) txnRequest(depth int) *pb.TxnRequest {
	m := &pb.TxnRequest{}
	for range r.IntN(4) {
		c := &pb.Compare{
			Result:   pb.Compare_CompareResult(r.num()),
			Target:   pb.Compare_CompareTarget(r.num()),
			Key:      r.bytes(),
			RangeEnd: r.bytes(),
		}
		switch r.IntN(6) {
		case 0:
			c.TargetUnion = &pb.Compare_Version{Version: r.num()}
		case 1:
			c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: r.num()}
		case 2:
			c.TargetUnion = &pb.Compare_ModRevision{ModRevision: r.num()}
		case 3:
			c.TargetUnion = &pb.Compare_Value{Value: r.bytes()}
		case 4:
			c.TargetUnion = &pb.Compare_Lease{Lease: r.num()}
		}
		r.unknown(c)
		m.Compare = append(m.Compare, c)
	}
	for _, ops := range []*[]*pb.RequestOp{&m.Success, &m.Failure} {
		for range r.IntN(4) {
			op := &pb.RequestOp{}
			switch r.IntN(20) {
			case 0:
				if depth < 20 {
					op.Request = &pb.RequestOp_RequestTxn{RequestTxn: r.txnRequest(depth + 1 + r.IntN(10))}
				}
			case 1, 2, 3, 4, 5:
				d := &pb.DeleteRangeRequest{Key: r.bytes(), RangeEnd: r.bytes(), PrevKv: r.IntN(2) == 0}
				r.unknown(d)
				op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: d}
			case 6, 7, 8, 9, 10:
				op.Request = &pb.RequestOp_RequestPut{RequestPut: r.putRequest()}
			default:
				op.Request = &pb.RequestOp_RequestRange{RequestRange: r.rangeRequest()}
			}
			if r.IntN(5) == 0 {
				r.unknown(op)
			}
			*ops = append(*ops, op)
		}
	}
	r.unknown(m)
	return m
}

func (r random) request(kind int) proto.Message {
	switch kind {
	case 0:
		return r.rangeRequest()
	case 1:
		return r.putRequest()
	case 2:
		return r.txnRequest(0)
	case 3:
		m := &pb.LeaseKeepAliveRequest{ID: r.num()}
		r.unknown(m)
		return m
	}
	return &pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_CreateRequest{
			CreateRequest: &pb.WatchCreateRequest{Key: r.bytes(), StartRevision: r.num()},
		},
	}
}

// TestRandomAnswers decodes messages of all kinds in buffers of all sizes, whole, cut
// short, with a byte changed, and twice in a row, which is how a message comes in parts.
func TestRandomAnswers(t *testing.T) {
	for seed := range uint64(140) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		kind := int(seed) % len(answers)
		data, err := proto.Marshal(r.answer(kind))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 2, 7, 100, 3000, 16 << 10} {
			same(t, answers[kind], data, n)
		}
		cuts := map[int]bool{len(data) - 1: true}
		for i := range min(len(data), 60) {
			cuts[i] = true
		}
		for cut := range cuts {
			if cut >= 0 {
				same(t, answers[kind], data[:cut], 1+r.IntN(50))
			}
		}
		for range 30 {
			if len(data) > 0 {
				other := bytes.Clone(data)
				other[r.IntN(min(len(other), 200))] = byte(r.Uint32())
				same(t, answers[kind], other, 1+r.IntN(200))
			}
		}
		same(t, answers[kind], append(bytes.Clone(data), data...), 64)
	}
}

func TestRandomRequests(t *testing.T) {
	for seed := range uint64(600) {
		r := random{rand.New(rand.NewPCG(seed, 2))}
		sameEncoded(t, r.request(int(seed)%len(requests)))
	}
}

// TestUnusualRequests: a program can build these, but no client sends them.
func TestUnusualRequests(t *testing.T) {
	for i, m := range []proto.Message{
		&pb.RangeRequest{}, &pb.PutRequest{}, &pb.TxnRequest{}, &pb.LeaseKeepAliveRequest{},
		(*pb.RangeRequest)(nil), (*pb.PutRequest)(nil), (*pb.TxnRequest)(nil),
		&pb.TxnRequest{Compare: []*pb.Compare{nil}},
		&pb.TxnRequest{Success: []*pb.RequestOp{nil, {}}},
		&pb.TxnRequest{Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{}}}},
		&pb.TxnRequest{Success: []*pb.RequestOp{{Request: (*pb.RequestOp_RequestRange)(nil)}}},
		&pb.TxnRequest{Compare: []*pb.Compare{{TargetUnion: &pb.Compare_Value{}}, {TargetUnion: &pb.Compare_Lease{}}}},
		&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 3<<20)},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) { sameEncoded(t, m) })
	}
}

func TestOnlyMessagesAreEncoded(t *testing.T) {
	if _, err := (Codec{}).Marshal(42); err == nil {
		t.Error("a number was encoded")
	}
	if err := (Codec{}).Unmarshal(split([]byte{1}, 1), new(int)); err == nil {
		t.Error("a number was decoded")
	}
}

// TestReusedAnswerKeepsNothing: the struct held another answer before.
func TestReusedAnswerKeepsNothing(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 3))}
	for kind := range answers {
		m := r.answer(kind)
		if err := (Codec{}).Unmarshal(nil, m); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(m, answers[kind]()) {
			t.Errorf("%T: something of the old answer is left: %v", m, m)
		}
	}
}

// TestAppendToAnswer: growing one slice of an answer must not reach into another.
func TestAppendToAnswer(t *testing.T) {
	data, _ := proto.Marshal(&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{
		{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("2")},
	}})
	for _, n := range []int{1, 1000} {
		var m pb.RangeResponse
		if err := (Codec{}).Unmarshal(split(data, n), &m); err != nil {
			t.Fatal(err)
		}
		for _, kv := range m.Kvs {
			_ = append(kv.Key, "xxxx"...)
			_ = append(kv.Value, "xxxx"...)
		}
		if got := fmt.Sprintf("%s%s%s%s", m.Kvs[0].Key, m.Kvs[0].Value, m.Kvs[1].Key, m.Kvs[1].Value); got != "a1b2" {
			t.Errorf("the answer became %q", got)
		}
	}
}

// seedSize bounds what fuzzing starts from: large inputs are slow to vary.
const seedSize = 1000

func FuzzDecode(f *testing.F) {
	r := random{rand.New(rand.NewPCG(4, 4))}
	for kind := range answers {
		for range 30 {
			data, err := proto.Marshal(r.answer(kind))
			if err != nil {
				f.Fatal(err)
			}
			if len(data) > seedSize {
				continue
			}
			f.Add(byte(kind), uint16(1+r.IntN(100)), data)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, n uint16, data []byte) {
		same(t, answers[int(kind)%len(answers)], data, 1+int(n))
	})
}

func FuzzEncode(f *testing.F) {
	r := random{rand.New(rand.NewPCG(5, 5))}
	for kind := range requests {
		for range 30 {
			data, err := proto.Marshal(r.request(kind))
			if err != nil {
				f.Fatal(err)
			}
			if len(data) > seedSize {
				continue
			}
			f.Add(byte(kind), data)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		m := requests[int(kind)%len(requests)]()
		if proto.Unmarshal(data, m) == nil {
			sameEncoded(t, m)
		}
	})
}

// TestAllocations: there are two for each group of some 12 KiB.
func TestAllocations(t *testing.T) {
	m := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 7}}
	for i := range 10000 {
		m.Kvs = append(
			m.Kvs,
			&mvccpb.KeyValue{
				Key:            fmt.Appendf(nil, "key%05d", i),
				Value:          make([]byte, 256),
				ModRevision:    int64(i),
				CreateRevision: 1,
				Version:        1,
			},
		)
	}
	data, _ := proto.Marshal(m)
	in := split(data, 16<<10)
	var out pb.RangeResponse
	if n := testing.AllocsPerRun(10, func() {
		if err := (Codec{}).Unmarshal(in, &out); err != nil {
			t.Error(err)
		}
	}); n > 700 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	kvs := func(n int) *pb.RangeResponse {
		m := &pb.RangeResponse{
			Header: &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 1 << 62, Revision: 1 << 20, RaftTerm: 2},
			Count:  int64(n),
		}
		for i := range n {
			m.Kvs = append(
				m.Kvs,
				&mvccpb.KeyValue{
					Key:            fmt.Appendf(nil, "bench/key%05d", i),
					Value:          make([]byte, 256),
					ModRevision:    100000,
					CreateRevision: 1,
					Version:        1,
				},
			)
		}
		return m
	}
	events := func(n int) *pb.WatchResponse {
		m := &pb.WatchResponse{
			Header:  &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 1 << 62, Revision: 1 << 20, RaftTerm: 2},
			WatchId: 7,
		}
		for _, kv := range kvs(n).Kvs {
			m.Events = append(m.Events, &mvccpb.Event{Kv: kv})
		}
		return m
	}
	for _, c := range []struct {
		name string
		from proto.Message
	}{
		{"range/1", kvs(1)}, {"range/10000", kvs(10000)},
		{"watch/1", events(1)}, {"watch/1000", events(1000)},
		{"put", &pb.PutResponse{Header: kvs(1).Header}},
	} {
		data, _ := proto.Marshal(c.from)
		in := split(data, 16<<10)[1:]
		run := func(b *testing.B, f func(m proto.Message) error) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			m := c.from.ProtoReflect().New().Interface()
			for b.Loop() {
				if err := f(m); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run(
			c.name+"/wire",
			func(b *testing.B) { run(b, func(m proto.Message) error { return Codec{}.Unmarshal(in, m) }) },
		)
		b.Run(c.name+"/proto", func(b *testing.B) {
			run(b, func(m proto.Message) error {
				buf := in.MaterializeToBuffer(mem.DefaultBufferPool())
				defer buf.Free()
				return proto.Unmarshal(buf.ReadOnlyData(), m)
			})
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range []struct {
		name string
		m    proto.Message
	}{
		{"range", &pb.RangeRequest{Key: []byte("bench/key")}},
		{"put", &pb.PutRequest{Key: []byte("bench/key"), Value: make([]byte, 256)}},
		{"txn", &pb.TxnRequest{Compare: []*pb.Compare{
			{Target: pb.Compare_MOD, Key: []byte("k"), TargetUnion: &pb.Compare_ModRevision{ModRevision: 9}},
		},
			Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}}},
			}}},
	} {
		b.Run(c.name+"/wire", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := Codec{}.Marshal(c.m)
				if err != nil {
					b.Fatal(err)
				}
				s.Free()
			}
		})
		b.Run(c.name+"/proto", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf, err := proto.Marshal(c.m)
				if err != nil {
					b.Fatal(err)
				}
				_ = mem.BufferSlice{mem.SliceBuffer(buf)}
			}
		})
	}
}
