package cache

// history is the latest batches of one prefix, for watches that are behind. Each batch has a
// number. Numbers only grow, whatever happens to the revisions, so a reader's place stays valid
// when a restored backup makes revisions go back. The owner guards it.

import "sort"

type history struct {
	maxEvents int
	maxBytes  int64

	items  []*batch // numbers first to first+len-1
	first  uint64
	events int
	bytes  int64

	// From this revision on every event is here, in items from number fresh on.
	from  int64
	fresh uint64
}

// next is the number of the batch to come.
func (h *history) next() uint64 { return h.first + uint64(len(h.items)) }

// push adds a batch and drops old ones. The latest one stays whatever its size.
func (h *history) push(b *batch) {
	h.items = append(h.items, b)
	h.events += len(b.plain)
	h.bytes += b.bytes
	for len(h.items) > 1 && (h.events > h.maxEvents || h.bytes > h.maxBytes) {
		old := h.items[0]
		h.items[0] = nil
		h.items = h.items[1:]
		if h.first >= h.fresh {
			h.from = old.rev + 1
		}
		h.first++
		h.events -= len(old.plain)
		h.bytes -= old.bytes
	}
}

// restart begins history anew after a listing at rev: the events that led to it are unknown.
// Earlier batches stay for those who are reading them.
func (h *history) restart(rev int64) {
	h.from, h.fresh = rev+1, h.next()
}

// at returns the batch with number n; nil with lost set if it was dropped, nil alone if it is still
// to come.
func (h *history) at(n uint64) (b *batch, lost bool) {
	switch {
	case n < h.first:
		return nil, true
	case n >= h.next():
		return nil, false
	}
	return h.items[n-h.first], false
}

// find returns the number from which on all events of rev and later are here; ok is false if some
// of them are not.
func (h *history) find(rev int64) (n uint64, ok bool) {
	if rev < h.from {
		return 0, false
	}
	begin := 0
	if h.fresh > h.first {
		begin = int(h.fresh - h.first)
	}
	i := sort.Search(len(h.items)-begin, func(i int) bool { return h.items[begin+i].rev >= rev })
	return h.first + uint64(begin+i), true
}
