package cache

import (
	"context"
	"iter"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Snapshot is the copy at one moment. It never changes. Taking one costs a pointer for each prefix;
// keeping one costs the memory of what has changed since. All methods are safe for concurrent use
// and take no locks. Its key-values are shared: do not change them.
//
// The keys of one prefix are those of exactly one revision. Each prefix has its own watch and so
// its own revision: a snapshot may have a transaction that changes keys of several prefixes for one
// of them and not yet for another. To see such keys change together, cache a prefix that covers
// them all.
type Snapshot struct {
	feeds    []*feed
	versions []*version // nil where the keys are not there yet
}

// Snapshot returns the copy as it is now. Prefixes whose keys are not there yet ([Cache.WaitReady])
// are empty and have revision 0.
func (c *Cache) Snapshot() *Snapshot {
	s := &Snapshot{feeds: c.feeds, versions: make([]*version, len(c.feeds))}
	for i, f := range c.feeds {
		s.versions[i] = f.now.Load()
	}
	return s
}

// Sync returns a snapshot that has everything that was written before the call. It tries again
// until the copy has it. It fails with ctx's error, or when the cache is closed.
func (c *Cache) Sync(ctx context.Context) (*Snapshot, error) {
	if err := c.WaitReady(ctx); err != nil {
		return nil, err
	}
	s := &Snapshot{feeds: c.feeds, versions: make([]*version, len(c.feeds))}
	for i, f := range c.feeds {
		v, err := f.sync(ctx)
		if err != nil {
			return nil, err
		}
		s.versions[i] = v
	}
	return s, nil
}

// Revision is the lowest revision of all prefixes: all changes up to it are in the snapshot.
func (s *Snapshot) Revision() int64 {
	var least int64
	for i, v := range s.versions {
		if v == nil {
			return 0
		}
		if i == 0 || v.rev < least {
			least = v.rev
		}
	}
	return least
}

// RevisionOf returns the revision of the prefix that has the key, 0 if none has.
func (s *Snapshot) RevisionOf(key string) int64 {
	if v := s.of(key); v != nil {
		return v.rev
	}
	return 0
}

func (s *Snapshot) of(key string) *version {
	f := find(s.feeds, key)
	for i := range s.feeds {
		if s.feeds[i] == f {
			return s.versions[i]
		}
	}
	return nil
}

// Get returns a key with its value and revisions, nil if the key does not exist.
func (s *Snapshot) Get(key string) *mvccpb.KeyValue {
	v := s.of(key)
	if v == nil {
		return nil
	}
	kv, _ := v.keys.Get(key)
	return kv
}

// Len is the number of keys.
func (s *Snapshot) Len() int {
	n := 0
	for _, v := range s.versions {
		if v != nil {
			n += v.keys.Len()
		}
	}
	return n
}

// All returns the keys in their order.
func (s *Snapshot) All() iter.Seq2[string, *mvccpb.KeyValue] { return s.Prefix("") }

// Prefix returns the keys that begin with prefix, in their order.
func (s *Snapshot) Prefix(prefix string) iter.Seq2[string, *mvccpb.KeyValue] {
	return s.span(prefixSpan(prefix))
}

// Range returns the keys from start up to, but not including, end, in their order.
func (s *Snapshot) Range(start, end string) iter.Seq2[string, *mvccpb.KeyValue] {
	return s.span(span{start: start, end: end})
}

func (s *Snapshot) span(within span) iter.Seq2[string, *mvccpb.KeyValue] {
	return func(yield func(string, *mvccpb.KeyValue) bool) {
		for i, v := range s.versions {
			if v == nil || !s.feeds[i].span.overlaps(within) {
				continue
			}
			more := true
			v.scan(within, func(key string, kv *mvccpb.KeyValue) bool {
				more = yield(key, kv)
				return more
			})
			if !more {
				return
			}
		}
	}
}
