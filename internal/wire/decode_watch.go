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
		var ok bool
		switch in.cur[0] {
		case tag(1, bytesType):
			ok = d.header(&in, &m.Header, h)
		case tag(2, varintType):
			ok = in.number(&m.WatchId)
		case tag(3, varintType):
			ok = in.flag(&m.Created)
		case tag(4, varintType):
			ok = in.flag(&m.Canceled)
		case tag(5, varintType):
			ok = in.number(&m.CompactRevision)
		case tag(6, bytesType):
			size, there := in.body()
			if !there {
				return false
			}
			b := in.take(size)
			ok = utf8.Valid(b)
			m.CancelReason = string(b)
		case tag(7, varintType):
			ok = in.flag(&m.Fragment)
		case tag(11, bytesType):
			size, there := in.body()
			if !there || len(m.Events) == cap(m.Events) {
				return false
			}
			ev := first
			if ev == nil {
				ev = d.event(size, n-len(m.Events), in.left-size)
			} else {
				d.single(size)
			}
			b, own := d.take(&in, size)
			ok = d.eventFields(b, own, ev)
			m.Events = append(m.Events, &ev.event)
		default:
			ok = unknownIn(m, &in, 1, 2, 3, 4, 5, 6, 7, 11)
		}
		if !ok {
			return false
		}
	}
	return true
}

// eventFields decodes one event.
func (d *decoder) eventFields(b []byte, own bool, ev *event) bool {
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
				kv, to = d.previous(len(f)), &m.PrevKv
			}
			if *to != nil || !d.keyValue(f, own, kv) {
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
