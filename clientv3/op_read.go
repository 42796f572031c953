package clientv3

// What packages that answer operations themselves need to know of one.

// SortOption returns what a get is to be sorted by; ok is false if it is not sorted,
// that is in the order of keys.
func (op Op) SortOption() (o SortOption, ok bool) {
	if op.sort == nil {
		return SortOption{}, false
	}
	return *op.sort, true
}

// OptionsErr says which option does not fit the operation, or which two do not go
// together; nil if all do. Executing the operation returns this error too.
func (op Op) OptionsErr() error { return op.err }
