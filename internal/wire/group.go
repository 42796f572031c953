package wire

// Memory for the parts of a message. Key-values and events are cut from groups of structs and of
// bytes, so that a long message costs few allocations. A user who keeps one of them keeps its whole
// group, but nothing else: no struct of a group refers to bytes of another one. So groups are
// small, and large items have memory of their own.

import "go.etcd.io/etcd/api/v3/mvccpb"

const (
	// groupSize is what a group is planned for. With what the plan falls short of (sizes that
	// vary, size classes of the allocator) it is below 16 KiB, which users are promised.
	groupSize = 12 << 10
	// maxItem is the largest key-value or event, as encoded, in a group; others have memory of
	// their own.
	maxItem = 4 << 10

	kvSize    = 120
	eventSize = 184
)

type event struct {
	event mvccpb.Event
	kv    mvccpb.KeyValue
}

// group is the group under way, by offsets: to move slices along would cost a write barrier each.
type group struct {
	block            []byte
	kvs              []mvccpb.KeyValue // also previous ones of events
	evs              []event
	used, kvAt, evAt int // how much of each has been given away
	count, sum       int // of the items so far, and their bytes
	prev             bool
	ops, more        int // of a transaction: answers to come, and their bytes
}

// kv returns a new key-value of size bytes; it is the first of n that are still to come, and left
// bytes follow.
func (g *group) kv(size, n, left int) *mvccpb.KeyValue {
	if size > maxItem {
		return new(mvccpb.KeyValue)
	}
	if g.kvAt == len(g.kvs) || size > len(g.block)-g.used {
		g.kvs = make([]mvccpb.KeyValue, g.begin(kvSize, size, n, left))
	}
	g.count, g.sum = g.count+1, g.sum+size
	g.kvAt++
	return &g.kvs[g.kvAt-1]
}

// event is kv for an event.
func (g *group) event(size, n, left int) *event {
	if size > maxItem {
		g.kvs, g.kvAt = nil, 0 // its previous key-value is alone too
		return new(event)
	}
	if g.evAt == len(g.evs) || size > len(g.block)-g.used || g.prev && g.kvAt == len(g.kvs) {
		item := eventSize
		if g.prev {
			item += kvSize
		}
		m := g.begin(item, size, n, left)
		g.evs = make([]event, m)
		if g.prev {
			g.kvs = make([]mvccpb.KeyValue, m)
		}
	}
	g.count, g.sum = g.count+1, g.sum+size
	g.evAt++
	return &g.evs[g.evAt-1]
}

// previous returns the previous key-value of the event that was begun last, of size bytes.
func (g *group) previous(size int) *mvccpb.KeyValue {
	if size > maxItem {
		return new(mvccpb.KeyValue)
	}
	if g.kvAt == len(g.kvs) {
		room := groupSize - len(g.block) - len(g.evs)*eventSize
		g.kvs, g.kvAt = make([]mvccpb.KeyValue, max(1, min(len(g.evs)-g.evAt+1, room/kvSize))), 0
		g.prev = true
	}
	g.kvAt++
	return &g.kvs[g.kvAt-1]
}

// begin plans a group of up to n items with structs of item bytes, and makes its bytes. It expects
// further items to have the mean size of those so far.
func (g *group) begin(item, size, n, left int) (items int) {
	mean := size
	if g.count > 0 {
		mean = g.sum/g.count + 1
	}
	items = max(1, min(n, groupSize/(item+mean)))
	bytes := max(size, items*(mean+mean/8))
	if all := size + left; all < bytes || items == n && all <= groupSize-items*item {
		bytes = all
	}
	g.block, g.kvs, g.evs = make([]byte, bytes), nil, nil
	g.used, g.kvAt, g.evAt = 0, 0, 0
	return items
}

// single makes room for the bytes of an item whose struct is elsewhere: of an answer with one. The
// answers in a transaction share a group's bytes.
func (g *group) single(size int) {
	if size <= maxItem && size > len(g.block)-g.used {
		g.begin(kvSize, size, g.ops+1, g.more)
	}
}

// space returns n free bytes: of the group, or their own.
func (g *group) space(n int) []byte {
	if n > len(g.block)-g.used {
		return make([]byte, n)
	}
	g.used += n
	return g.block[g.used-n : g.used : g.used]
}

// bytes copies b.
func (g *group) bytes(b []byte) []byte {
	c := g.space(len(b))
	copy(c, b)
	return c
}

// take reads n bytes of in, which are there. own: they are not a view of a buffer, and
// may be kept.
func (g *group) take(in *input, n int) (b []byte, own bool) {
	if n <= len(in.cur) {
		return in.take(n), false
	}
	b = g.space(n)
	in.read(b)
	return b, true
}
