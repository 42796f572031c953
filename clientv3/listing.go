package clientv3

import (
	"bytes"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/watch"
)

// A Listing is what was read of a range before it is watched. A watch that begins with
// [WithListing] goes on from it and knows by it whether etcd still has the history that was read:
// with [WithRev] alone a watch that has had no event cannot know it, and would be silent about what
// a wiped or restored etcd has, once that has come to higher revisions. It holds a key and some
// numbers. It is not safe for concurrent use.
type Listing struct {
	of   watch.Listing
	read bool // there was an answer
}

// NewListing begins a listing as of a revision: the one that the reads ask for by [WithRev], or 0
// for the newest. The first answer names that one, and later pages must ask for it. The reads must
// begin after this call.
func NewListing(rev int64) *Listing {
	return &Listing{of: watch.Listing{Since: time.Now(), Revision: rev}}
}

// Add notes the answer of a get: of all keys of the range, or a page of them, not
// [WithSerializable]. With values it proves more: two histories may have put the same key at the
// same revision. (Without them, etcd 3.7 does not say which leases the keys have.) It keeps no
// reference to r.
func (l *Listing) Add(r *GetResponse) {
	if l.of.Revision == 0 {
		l.of.Revision = r.Header.GetRevision()
	}
	if !l.read {
		l.of.Answered = time.Now()
		l.read, l.of.ClusterID, l.of.Term, l.of.Empty = true, r.Header.GetClusterId(), r.Header.GetRaftTerm(),
			r.Count == 0
	}
	var newest *mvccpb.KeyValue
	for _, kv := range r.Kvs {
		if newest == nil || kv.ModRevision > newest.ModRevision {
			newest = kv
		}
	}
	l.of.Note(newest)
}

// Revision is that of the listing; 0: not known yet.
func (l *Listing) Revision() int64 { return l.of.Revision }

func (l *Listing) request() *watch.Listing {
	if l == nil {
		return nil
	}
	return &l.of
}

// moved is the listing with another beginning of its keys: from is what the range's first key was
// and to what it is. nil if to does not end with from: nothing is known of such keys.
func (l *Listing) moved(from, to []byte) *Listing {
	if l == nil || !bytes.HasSuffix(to, from) {
		return nil
	}
	key := l.of.Key()
	if key == nil {
		return l
	}
	return &Listing{of: *l.of.WithKey(slices.Concat(to[:len(to)-len(from)], key)), read: l.read}
}

// fits reports whether the newest key is in a range.
func (l *Listing) fits(from, end []byte) bool {
	key := l.of.Key()
	switch {
	case key == nil:
		return true
	case len(end) == 0:
		return bytes.Equal(key, from)
	}
	return bytes.Compare(key, from) >= 0 && (bytes.Equal(end, endOfKeys) || bytes.Compare(key, end) < 0)
}

// WithListing makes a watch go on from a listing of its range: from the revision after it, whatever
// an earlier [WithRev] says. Such a watch ends with [ErrHistoryLost] when etcd has another history
// than the one that was read, and with rpctypes.ErrCompacted when etcd can no longer say: list
// again then.
func WithListing(l *Listing) OpOption {
	return func(op *Op) {
		if l == nil || !l.read {
			op.err = etcderr.Invalid("", "WithListing without an answer: Add what was read first")
			return
		}
		op.rev, op.listing = l.Revision()+1, l
	}
}
