package cache

// The core keeps one prefix: it takes the events of a watch or a fresh listing, and says what has
// changed. It knows neither time nor goroutines; its owner is the goroutine of the feed.

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

type core struct {
	keys   *tree              // changed here only; copies of it are published
	rev    int64              // the copy's; it may be promised only
	has    int64              // up to which events or a listing have come
	recent []*mvccpb.KeyValue // some of keys: those that were put last, in their order
}

// recentMost bounds recent: more than a few keys are seldom deleted again at once, as a lock is.
const recentMost = 8

// newest is the key that was put last, nil if that is unknown.
func (c *core) newest() *mvccpb.KeyValue {
	if n := len(c.recent); n > 0 {
		return c.recent[n-1]
	}
	return nil
}

// forget removes the earlier version of a key from recent.
func (c *core) forget(kv *mvccpb.KeyValue) {
	if i := slices.Index(c.recent, kv); i >= 0 {
		c.recent = slices.Delete(c.recent, i, i+1)
	}
}

func (c *core) remember(kv *mvccpb.KeyValue) {
	if len(c.recent) == recentMost {
		c.recent = slices.Delete(c.recent, 0, 1)
	}
	c.recent = append(c.recent, kv)
}

// change is one event, as watches with and without WithPrevKV see it.
type change struct{ plain, full clientv3.Event }

// batch is changes that belong together: the whole revisions of one response, or the
// difference between two listings.
type batch struct {
	rev         int64             // the last revision
	plain, full []*clientv3.Event // the same events without and with PrevKv
	synthesized bool
	epoch       int                // of the revisions; set by the hub
	header      *pb.ResponseHeader // of the responses; set by the hub
	bytes       int64              // estimated, with what is referred to
}

// changeOverhead is what a change takes besides keys and values, roughly.
const changeOverhead = 512

func (b *batch) add(kv, prev *mvccpb.KeyValue, kind mvccpb.Event_EventType) {
	c := &change{}
	c.plain.Type, c.plain.Kv = kind, kv
	c.full.Type, c.full.Kv, c.full.PrevKv = kind, kv, prev
	b.plain = append(b.plain, &c.plain)
	b.full = append(b.full, &c.full)
	b.bytes += int64(changeOverhead + len(kv.Key) + len(kv.Value) + len(prev.GetKey()) + len(prev.GetValue()))
	b.rev = max(b.rev, kv.ModRevision)
}

// contradicts reports that events have one of a revision up to which, as was promised, there would
// be none: so they are of another history.
func (c *core) contradicts(events []*clientv3.Event) bool {
	return slices.ContainsFunc(events, func(e *clientv3.Event) bool {
		rev := e.GetKv().GetModRevision()
		return rev > c.has && rev <= c.rev
	})
}

// apply takes the events of a response, without those that the copy has already; nil if none is
// left.
func (c *core) apply(events []*clientv3.Event) *batch {
	b := &batch{plain: make([]*clientv3.Event, 0, len(events)), full: make([]*clientv3.Event, 0, len(events))}
	for _, e := range events {
		if e.GetKv().GetModRevision() <= c.rev {
			continue
		}
		kv := own(e.Kv)
		var prev *mvccpb.KeyValue
		if e.Type == mvccpb.Event_DELETE {
			prev, _ = c.keys.Delete(string(kv.Key))
		} else {
			prev, _ = c.keys.Set(string(kv.Key), kv)
			c.remember(kv)
		}
		c.forget(prev)
		b.add(kv, prev, e.Type)
	}
	if len(b.plain) == 0 {
		return nil
	}
	c.rev, c.has = b.rev, b.rev
	return b
}

// replace makes the copy equal to a listing at a revision. It returns the difference, nil if there
// is none: puts in the order of their revisions, then deletes, which have the revision of the
// listing since their own is unknown. Unchanged keys keep their memory.
func (c *core) replace(found *tree, rev int64) *batch {
	b := &batch{synthesized: true}
	type pair struct{ kv, prev *mvccpb.KeyValue }
	var puts []pair
	var same []*mvccpb.KeyValue
	found.Scan(func(key string, kv *mvccpb.KeyValue) bool {
		prev, _ := c.keys.Get(key)
		if prev != nil && equal(prev, kv) {
			same = append(same, prev)
		} else {
			puts = append(puts, pair{kv, prev})
		}
		return true
	})
	for _, kv := range same {
		found.Set(string(kv.Key), kv)
	}
	slices.SortStableFunc(puts, func(a, b pair) int { return cmp.Compare(a.kv.ModRevision, b.kv.ModRevision) })
	for _, p := range puts {
		b.add(p.kv, p.prev, mvccpb.Event_PUT)
	}
	c.keys.Scan(func(key string, prev *mvccpb.KeyValue) bool {
		if _, there := found.Get(key); !there {
			b.add(&mvccpb.KeyValue{Key: prev.Key, ModRevision: rev}, prev, mvccpb.Event_DELETE)
		}
		return true
	})
	c.keys, c.rev, c.has, c.recent = found, rev, rev, nil
	if kv := newestOf(found); kv != nil {
		c.remember(kv)
	}
	if len(b.plain) == 0 {
		return nil
	}
	b.rev = rev
	return b
}

// contradicts reports that a listing has a key that was put at or before a revision as of which the
// copy did not have it so.
func (b *batch) contradicts(rev int64) bool {
	return b != nil && slices.ContainsFunc(b.plain, func(e *clientv3.Event) bool {
		return e.Type == mvccpb.Event_PUT && e.Kv.ModRevision <= rev
	})
}

// newestOf is the key that was put last, nil if there is none.
func newestOf(keys *tree) (newest *mvccpb.KeyValue) {
	keys.Scan(func(_ string, kv *mvccpb.KeyValue) bool {
		if newest == nil || kv.ModRevision > newest.ModRevision {
			newest = kv
		}
		return true
	})
	return newest
}

// equal compares contents too: after a restore a revision may stand for something else.
func equal(a, b *mvccpb.KeyValue) bool {
	return a.ModRevision == b.ModRevision && a.CreateRevision == b.CreateRevision && a.Version == b.Version &&
		a.Lease == b.Lease && bytes.Equal(a.Value, b.Value)
}
