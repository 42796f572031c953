package wire

import (
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// oneEvent is a response with one event, all but its bytes.
type oneEvent struct {
	header pb.ResponseHeader
	events [1]*mvccpb.Event
	event  event
}

func (d *decoder) watchResponse(in input, m *pb.WatchResponse) bool {
	n := count(in, tag(11, bytesType))
	var h *pb.ResponseHeader
	var first *event
	switch n {
	case 0:
	case 1:
		one := new(oneEvent)
		h, m.Events, first = &one.header, one.events[:0], &one.event
	default:
		m.Events = make([]*mvccpb.Event, 0, n)
	}
	for in.left > 0 {
		t := in.cur[0]
		switch t {
		case tag(1, bytesType):
			in.advance(1)
			if h == nil {
				h = new(pb.ResponseHeader)
			}
			if !d.header(&in, &m.Header, h) {
				return false
			}
		case tag(2, varintType), tag(3, varintType), tag(4, varintType), tag(5, varintType), tag(7, varintType):
			in.advance(1)
			v, ok := in.varint()
			if !ok {
				return false
			}
			switch t >> 3 {
			case 2:
				m.WatchId = int64(v)
			case 3:
				m.Created = v != 0
			case 4:
				m.Canceled = v != 0
			case 5:
				m.CompactRevision = int64(v)
			default:
				m.Fragment = v != 0
			}
		case tag(6, bytesType):
			in.advance(1)
			n, ok := in.length()
			if !ok {
				return false
			}
			b := in.take(n)
			if !utf8.Valid(b) {
				return false
			}
			m.CancelReason = string(b)
		case tag(11, bytesType):
			in.advance(1)
			size, ok := in.length()
			if !ok || len(m.Events) == cap(m.Events) {
				return false
			}
			ev := first
			if ev == nil {
				ev = d.event(n - len(m.Events))
			}
			b, own := d.take(&in, size)
			if !d.eventFields(b, own, in.left, ev, n-len(m.Events)) {
				return false
			}
			m.Events = append(m.Events, &ev.event)
		default:
			if !unknownIn(m, &in, 1, 2, 3, 4, 5, 6, 7, 11) {
				return false
			}
		}
	}
	return true
}

// eventFields decodes one event, after which n-1 others come.
func (d *decoder) eventFields(b []byte, own bool, left int, ev *event, n int) bool {
	m := &ev.event
	for len(b) > 0 {
		var ok bool
		switch t := b[0]; t {
		case tag(1, varintType):
			var v uint64
			if v, b, ok = varint(b[1:]); !ok {
				return false
			}
			m.Type = mvccpb.Event_EventType(int32(v))
		case tag(2, bytesType), tag(3, bytesType):
			var f []byte
			if f, b, ok = chunk(b[1:]); !ok {
				return false
			}
			kv, to := &ev.kv, &m.Kv
			if t == tag(3, bytesType) {
				kv, to = d.kv(n), &m.PrevKv
			}
			if *to != nil || !d.keyValue(f, own, left+len(b), kv) {
				return false
			}
			*to = kv
		default:
			if b, ok = unknown(m, b, 1, 2, 3); !ok {
				return false
			}
		}
	}
	return true
}
