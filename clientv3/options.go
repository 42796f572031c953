package clientv3

// OpOption changes what Get, Put, Delete or Watch do. Options that do not fit an
// operation make it fail, without anything being sent.
type OpOption func(*Op)

// SortTarget is what a get is sorted by.
type SortTarget int

// SortOrder is the direction of sorting.
type SortOrder int

const (
	SortNone SortOrder = iota
	SortAscend
	SortDescend
)

const (
	SortByKey SortTarget = iota
	SortByVersion
	SortByCreateRevision
	SortByModRevision
	SortByValue
)

// SortOption is a target and an order.
type SortOption struct {
	Target SortTarget
	Order  SortOrder
}

// WithLease attaches the key of a put to a lease: when the lease ends, the key is
// deleted.
func WithLease(leaseID LeaseID) OpOption { return func(op *Op) { op.leaseID = leaseID } }

// WithLimit bounds the number of keys that a get returns; 0 means no bound. The
// response's More says whether there are more.
func WithLimit(n int64) OpOption { return func(op *Op) { op.limit = n } }

// WithRev makes a get read the store as it was at a revision, and a watch begin
// with the events of a revision. A compacted revision is rpctypes.ErrCompacted.
func WithRev(rev int64) OpOption { return func(op *Op) { op.rev = rev } }

// WithSort sorts the result of a get over a range on the server. With a limit,
// the server sorts before it cuts.
func WithSort(target SortTarget, order SortOrder) OpOption {
	return func(op *Op) {
		if target == SortByKey && order == SortAscend {
			// The server's natural order; asking for it would make the server
			// fetch the whole range before it applies the limit.
			order = SortNone
		}
		op.sort = &SortOption{target, order}
	}
}

// GetPrefixRangeEnd returns the end of the range of all keys with a prefix: the
// prefix with its last byte below 0xff raised by one. For a prefix of 0xff bytes
// only, or none, that is "\x00", which stands for the end of the key space.
func GetPrefixRangeEnd(prefix string) string { return string(prefixEnd([]byte(prefix))) }

var endOfKeys = []byte{0} // as the server writes "no end"; never changed

func prefixEnd(key []byte) []byte {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] < 0xff {
			end := append([]byte(nil), key[:i+1]...)
			end[i]++
			return end
		}
	}
	return endOfKeys
}

// WithPrefix makes the operation work on all keys that begin with the key. An
// empty key stands for all keys.
func WithPrefix() OpOption {
	return func(op *Op) {
		op.isOptsWithPrefix = true
		if len(op.key) == 0 {
			op.key, op.end = []byte{0}, []byte{0}
			return
		}
		op.end = prefixEnd(op.key)
	}
}

// WithRange makes the operation work on the keys from the key up to but not including endKey.
func WithRange(endKey string) OpOption { return func(op *Op) { op.end = []byte(endKey) } }

// WithFromKey makes the operation work on the key and all that follow it.
func WithFromKey() OpOption {
	return func(op *Op) {
		op.isOptsWithFromKey = true
		if len(op.key) == 0 {
			op.key = []byte{0}
		}
		op.end = []byte{0}
	}
}

// WithSerializable lets one member answer a get or a MemberList from what it
// knows, without asking the others: faster, works without a quorum, possibly old.
func WithSerializable() OpOption { return func(op *Op) { op.serializable = true } }

// WithKeysOnly leaves the values out of a get's result.
func WithKeysOnly() OpOption { return func(op *Op) { op.keysOnly = true } }

// WithCountOnly makes a get return only the number of keys.
func WithCountOnly() OpOption { return func(op *Op) { op.countOnly = true } }

// WithMinModRev leaves out keys last modified before a revision.
func WithMinModRev(rev int64) OpOption { return func(op *Op) { op.minModRev = rev } }

// WithMaxModRev leaves out keys last modified after a revision.
func WithMaxModRev(rev int64) OpOption { return func(op *Op) { op.maxModRev = rev } }

// WithMinCreateRev leaves out keys created before a revision.
func WithMinCreateRev(rev int64) OpOption { return func(op *Op) { op.minCreateRev = rev } }

// WithMaxCreateRev leaves out keys created after a revision.
func WithMaxCreateRev(rev int64) OpOption { return func(op *Op) { op.maxCreateRev = rev } }

// WithFirstCreate gets the key with the oldest creation revision under a prefix.
func WithFirstCreate() []OpOption { return top(SortByCreateRevision, SortAscend) }

// WithLastCreate gets the key with the newest creation revision under a prefix.
func WithLastCreate() []OpOption { return top(SortByCreateRevision, SortDescend) }

// WithFirstKey gets the first key under a prefix in the order of bytes.
func WithFirstKey() []OpOption { return top(SortByKey, SortAscend) }

// WithLastKey gets the last key under a prefix in the order of bytes.
func WithLastKey() []OpOption { return top(SortByKey, SortDescend) }

// WithFirstRev gets the key with the oldest modification revision under a prefix.
func WithFirstRev() []OpOption { return top(SortByModRevision, SortAscend) }

// WithLastRev gets the key with the newest modification revision under a prefix.
func WithLastRev() []OpOption { return top(SortByModRevision, SortDescend) }

func top(target SortTarget, order SortOrder) []OpOption {
	return []OpOption{WithPrefix(), WithSort(target, order), WithLimit(1)}
}

// WithProgressNotify makes the server send a response without events from time to
// time (every ten minutes by default) when there is nothing else to send.
func WithProgressNotify() OpOption { return func(op *Op) { op.progressNotify = true } }

// WithCreatedNotify makes a watch deliver the server's confirmation as its first
// response, once.
func WithCreatedNotify() OpOption { return func(op *Op) { op.createdNotify = true } }

// WithFilterPut leaves put events out of a watch.
func WithFilterPut() OpOption { return func(op *Op) { op.filterPut = true } }

// WithFilterDelete leaves delete events out of a watch.
func WithFilterDelete() OpOption { return func(op *Op) { op.filterDelete = true } }

// WithPrevKV adds to each event of a watch, or to the response of a put or delete,
// what the key was before. It is left out if that was compacted meanwhile.
func WithPrevKV() OpOption { return func(op *Op) { op.prevKV = true } }

// WithFragment lets the server split a large watch response into several, which
// are delivered as they come; without it they are delivered whole.
func WithFragment() OpOption { return func(op *Op) { op.fragment = true } }

// WithWatchBufLog has no effect: it asks the official client to log when it
// buffers responses. Here buffers are bounded, see [Config.WatchBufferLimit].
func WithWatchBufLog() OpOption { return func(*Op) {} }

// WithIgnoreValue makes a put keep the key's value, to change only its lease. The
// value given must be empty; the key must exist.
func WithIgnoreValue() OpOption { return func(op *Op) { op.ignoreValue = true } }

// WithIgnoreLease makes a put keep the key's lease. The key must exist.
func WithIgnoreLease() OpOption { return func(op *Op) { op.ignoreLease = true } }

// IsOptsWithPrefix reports whether [WithPrefix] is among the options.
func IsOptsWithPrefix(opts []OpOption) bool { return probe(opts).isOptsWithPrefix }

// IsOptsWithFromKey reports whether [WithFromKey] is among the options.
func IsOptsWithFromKey(opts []OpOption) bool { return probe(opts).isOptsWithFromKey }

// probe applies options to an operation that is then only looked at.
func probe(opts []OpOption) *Op {
	op := NewOp()
	for _, o := range opts {
		if o != nil {
			o(op)
		}
	}
	return op
}
