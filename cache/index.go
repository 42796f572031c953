package cache

import (
	"cmp"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// Index finds the values of a view by something in them; one value may be found by several index
// keys. [NewIndex] makes it, [NewView] takes it, and it belongs to that view. All methods are safe
// for concurrent use and take no locks. They show the view's latest state; before NewView they show
// nothing.
type Index[T any, K cmp.Ordered] struct {
	of   func(key string, value T) []K
	view *View[T]
	slot int
	used atomic.Bool
	tree *btree.BTreeG[pair[T, K]] // of the view's goroutine
}

// ViewIndex is an [Index] of any kind of key; only [NewIndex] makes one.
type ViewIndex[T any] interface {
	attach(v *View[T], slot int) (indexer[T], bool)
}

type indexer[T any] interface {
	update(old, now *item[T])
	publish() any
}

type pair[T any, K cmp.Ordered] struct {
	by  K
	key string
	it  *item[T]
}

// NewIndex makes an index by the index keys that of returns for each value. of must return the same
// keys for the same value every time. The index does not find a value for which of returns none.
func NewIndex[T any, K cmp.Ordered](of func(key string, value T) []K) *Index[T, K] {
	less := func(a, b pair[T, K]) bool {
		if c := cmp.Compare(a.by, b.by); c != 0 {
			return c < 0
		}
		return a.key < b.key
	}
	// Locks would be for those who change a tree while others read it; published trees are never
	// changed.
	return &Index[T, K]{of: of, tree: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

func (ix *Index[T, K]) attach(v *View[T], slot int) (indexer[T], bool) {
	if ix == nil || ix.of == nil || !ix.used.CompareAndSwap(false, true) {
		return nil, false
	}
	ix.view, ix.slot = v, slot
	return ix, true
}

func (ix *Index[T, K]) update(old, now *item[T]) {
	if old != nil {
		for _, by := range ix.of(old.key, old.value) {
			ix.tree.Delete(pair[T, K]{by: by, key: old.key})
		}
	}
	if now != nil {
		for _, by := range ix.of(now.key, now.value) {
			ix.tree.Set(pair[T, K]{by, now.key, now})
		}
	}
}

func (ix *Index[T, K]) publish() any { return ix.tree.Copy() }

func (ix *Index[T, K]) now() *btree.BTreeG[pair[T, K]] {
	if ix.view == nil {
		return ix.tree
	}
	t, _ := ix.view.now.Load().indexes[ix.slot].(*btree.BTreeG[pair[T, K]])
	return t
}

// Get returns the keys and values that have the index key by, in the order of their keys, as of one
// revision.
func (ix *Index[T, K]) Get(by K) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		ix.now().Ascend(pair[T, K]{by: by}, func(p pair[T, K]) bool {
			return cmp.Compare(p.by, by) == 0 && yield(p.key, p.it.value)
		})
	}
}

// Range returns the keys and values whose index keys are at least from and below to, in the order
// of the index, as of one revision.
func (ix *Index[T, K]) Range(from, to K) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		ix.now().Ascend(pair[T, K]{by: from}, func(p pair[T, K]) bool {
			return cmp.Less(p.by, to) && yield(p.key, p.it.value)
		})
	}
}

// Keys returns the index keys of all values, in their order, each once.
func (ix *Index[T, K]) Keys() []K {
	var keys []K
	ix.now().Scan(func(p pair[T, K]) bool {
		keys = append(keys, p.by)
		return true
	})
	return slices.Compact(keys)
}
