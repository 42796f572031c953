package lease

// heap is a binary heap of leases that knows where each of them is, so that any
// one can be moved or removed. It is written out because container/heap costs an
// interface call for every comparison and keeps no indices.
type heap struct {
	items []*lease
	less  func(a, b *lease) bool
	place func(*lease) *int32 // where a lease keeps its index in this heap
}

func (h *heap) push(l *lease) {
	h.items = append(h.items, l)
	*h.place(l) = int32(len(h.items) - 1)
	h.up(len(h.items) - 1)
}

// fix restores the order after the key of l has changed.
func (h *heap) fix(l *lease) {
	i := int(*h.place(l))
	h.up(i)
	h.down(int(*h.place(l)))
}

func (h *heap) remove(l *lease) {
	i, n := int(*h.place(l)), len(h.items)-1
	h.swap(i, n)
	h.items[n] = nil
	h.items = h.items[:n]
	*h.place(l) = -1
	if i < n {
		h.fix(h.items[i])
	}
}

func (h *heap) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.place(h.items[i]) = int32(i)
	*h.place(h.items[j]) = int32(j)
}

func (h *heap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(h.items[i], h.items[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *heap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			return
		}
		if right := child + 1; right < len(h.items) && h.less(h.items[right], h.items[child]) {
			child = right
		}
		if !h.less(h.items[child], h.items[i]) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
