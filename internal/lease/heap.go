package lease

import "time"

// heap is a heap of leases by a time that knows where each of them is, so that any
// one can be moved or removed. It is written out because container/heap costs an
// interface call for every comparison and keeps no indices. With thousands of leases most of the
// time goes into waiting for memory: so the times are in the heap itself, and each
// node has four children.
type heap struct {
	items []item
	place func(*lease) *int32 // where a lease keeps its index in this heap
}

type item struct {
	at time.Duration
	l  *lease
}

// before is the order. The id only makes it unique.
func (a item) before(b item) bool {
	return a.at < b.at || a.at == b.at && a.l.id < b.l.id
}

const children = 4

// push is not inlined for the reason of do.
//
//go:noinline
func (h *heap) push(l *lease, at time.Duration) {
	h.items = append(h.items, item{at, l})
	h.up(len(h.items)-1, item{at, l})
}

// fix gives l another time.
func (h *heap) fix(l *lease, at time.Duration) {
	h.settle(int(*h.place(l)), item{at, l})
}

func (h *heap) remove(l *lease) {
	i, n := int(*h.place(l)), len(h.items)-1
	last := h.items[n]
	h.items[n] = item{}
	h.items = h.items[:n]
	if i < n {
		h.settle(i, last)
	}
	*h.place(l) = -1
}

// settle moves x to its place, starting at i, whose place is free.
func (h *heap) settle(i int, x item) {
	if i > 0 && x.before(h.items[(i-1)/children]) {
		h.up(i, x)
		return
	}
	h.down(i, x)
}

func (h *heap) put(i int, x item) {
	h.items[i] = x
	*h.place(x.l) = int32(i)
}

func (h *heap) up(i int, x item) {
	for i > 0 {
		parent := (i - 1) / children
		if !x.before(h.items[parent]) {
			break
		}
		h.put(i, h.items[parent])
		i = parent
	}
	h.put(i, x)
}

func (h *heap) down(i int, x item) {
	for {
		first := children*i + 1
		if first >= len(h.items) {
			break
		}
		least := first
		for c := first + 1; c < min(first+children, len(h.items)); c++ {
			if h.items[c].before(h.items[least]) {
				least = c
			}
		}
		if !h.items[least].before(x) {
			break
		}
		h.put(i, h.items[least])
		i = least
	}
	h.put(i, x)
}
