package cache

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// naive is a store that keeps every revision as a whole.
type naive struct {
	rev  int64
	keys map[string]*mvccpb.KeyValue
	past map[int64]map[string]*mvccpb.KeyValue
}

func newNaive() *naive {
	return &naive{rev: 1, keys: map[string]*mvccpb.KeyValue{}, past: map[int64]map[string]*mvccpb.KeyValue{1: {}}}
}

// txn changes a few keys at one revision and returns the events.
func (n *naive) txn(r *rand.Rand) (events []*clientv3.Event) {
	n.rev++
	for _, i := range r.Perm(8)[:1+r.IntN(3)] {
		key := fmt.Sprint("k", i)
		old := n.keys[key]
		if old != nil && r.IntN(3) == 0 {
			delete(n.keys, key)
			events = append(events,
				&clientv3.Event{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: n.rev}})
			continue
		}
		kv := &mvccpb.KeyValue{
			Key:            []byte(key),
			Value:          fmt.Append(nil, r.IntN(100)),
			ModRevision:    n.rev,
			CreateRevision: n.rev,
			Version:        1,
		}
		if old != nil {
			kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		}
		n.keys[key] = kv
		events = append(events, &clientv3.Event{Kv: kv})
	}
	n.past[n.rev] = maps.Clone(n.keys)
	return events
}

func (n *naive) listing() *tree {
	t := new(tree)
	for key, kv := range n.keys {
		t.Set(key, own(kv))
	}
	return t
}

func same(t *testing.T, what string, got *tree, want map[string]*mvccpb.KeyValue) {
	t.Helper()
	if got.Len() != len(want) {
		t.Fatalf("%s: %d keys, not %d", what, got.Len(), len(want))
	}
	for key, kv := range want {
		if g, ok := got.Get(key); !ok || !equal(g, kv) || string(g.Key) != key {
			t.Fatalf("%s: %s is %v, not %v", what, key, g, kv)
		}
	}
}

// TestCoreModel feeds a core responses of random length, repetitions, listings and restores, and a
// follower the batches that come out. Versions taken on the way stay what they were.
func TestCoreModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 6))
		store := newNaive()
		c := core{keys: new(tree), rev: 1}
		follower := map[string]*mvccpb.KeyValue{}
		type taken struct {
			keys *tree
			want map[string]*mvccpb.KeyValue
		}
		var versions []taken
		var late []*clientv3.Event
		for range 60 {
			var b *batch
			switch r.IntN(10) {
			case 0: // away for some time, then everything is listed
				for range r.IntN(4) {
					store.txn(r)
				}
				b = c.replace(store.listing(), store.rev)
			case 1: // restored from a backup
				if to := max(1, store.rev-int64(r.IntN(5))); store.past[to] != nil {
					store.rev, store.keys = to, maps.Clone(store.past[to])
				}
				b = c.replace(store.listing(), store.rev)
				late = nil
			default:
				events := slices.Clone(late) // delivered events are not taken twice
				late = nil
				for range 1 + r.IntN(3) {
					late = store.txn(r)
					events = append(events, late...)
				}
				b = c.apply(events)
				if b == nil || b.rev != store.rev || b.synthesized {
					t.Fatalf("seed %d: %+v at %d", seed, b, store.rev)
				}
			}
			same(t, fmt.Sprint("seed ", seed), c.keys, store.keys)
			if c.rev != store.rev {
				t.Fatalf("seed %d: revision %d, not %d", seed, c.rev, store.rev)
			}
			if kv := c.newest(); kv != nil {
				if there, _ := c.keys.Get(string(kv.Key)); there != kv ||
					kv.ModRevision != newestOf(c.keys).ModRevision {
					t.Fatalf("seed %d: %v is not the newest key", seed, kv)
				}
			}
			if b != nil {
				for i, e := range b.full {
					key := string(e.Kv.Key)
					if p := follower[key]; (p == nil) != (e.PrevKv == nil) || (p != nil && !equal(p, e.PrevKv)) {
						t.Fatalf("seed %d: before %v there was %v", seed, e, p)
					}
					if b.plain[i].PrevKv != nil || b.plain[i].Kv != e.Kv || b.plain[i].Type != e.Type {
						t.Fatalf("seed %d: %v and %v", seed, b.plain[i], e)
					}
					if e.Type == mvccpb.Event_DELETE {
						delete(follower, key)
					} else {
						follower[key] = e.Kv
					}
				}
			}
			if len(follower) != len(store.keys) {
				t.Fatalf("seed %d: the follower has %v", seed, follower)
			}
			versions = append(versions, taken{c.keys.Copy(), maps.Clone(store.keys)})
		}
		for _, v := range versions {
			same(t, fmt.Sprint("seed ", seed, ", an old version"), v.keys, v.want)
		}
	}
}

// An event of a revision that was only promised is of another history; one that has come before is
// a repetition.
func TestCoreKnowsAnotherHistory(t *testing.T) {
	at := func(revs ...int64) (events []*clientv3.Event) {
		for _, rev := range revs {
			events = append(events, &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: rev}})
		}
		return events
	}
	c := core{keys: new(tree)}
	c.replace(new(tree), 10)
	for _, s := range []struct {
		promised int64 // before the events
		events   []*clientv3.Event
		other    bool
	}{
		{0, at(11, 12), false}, {0, at(12, 13), false}, {20, at(20, 21), true}, {0, at(13, 14), true},
		{0, at(13, 21), false}, {30, nil, false}, {0, at(31), false}, {0, at(30), false},
	} {
		c.rev = max(c.rev, s.promised)
		if got := c.contradicts(s.events); got != s.other {
			t.Errorf("%v at %d, of which %d are there: %v", s.events, c.rev, c.has, got)
		}
		if !s.other {
			c.apply(s.events)
		}
	}
	b := c.replace(new(tree), 40)
	if b.contradicts(50) {
		t.Error("a key is gone")
	}
	found := new(tree)
	found.Set("k", &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 41})
	if b = c.replace(found, 41); b.contradicts(40) || !b.contradicts(41) {
		t.Error("a key is of 41")
	}
	c.rev = 50
	if c.replace(new(tree), 40); c.contradicts(at(41)) {
		t.Error("a listing is newer than what was promised before it")
	}
}

// An unchanged key keeps its memory through a listing.
func TestReplaceKeepsMemory(t *testing.T) {
	store, r := newNaive(), rand.New(rand.NewPCG(1, 2))
	for range 20 {
		store.txn(r)
	}
	c := core{keys: new(tree)}
	c.replace(store.listing(), store.rev)
	before := c.keys.Copy()
	if b := c.replace(store.listing(), store.rev+5); b != nil || c.rev != store.rev+5 {
		t.Fatalf("%v", b)
	}
	before.Scan(func(key string, kv *mvccpb.KeyValue) bool {
		if now, _ := c.keys.Get(key); now != kv {
			t.Errorf("%s has new memory", key)
		}
		return true
	})
}

// A key in the copy shares no memory with the response that it came in.
func TestKeptKeySharesNoMemory(t *testing.T) {
	buf := []byte("keyvalue")
	kv := own(&mvccpb.KeyValue{Key: buf[:3], Value: buf[3:], Lease: 7, Version: 3})
	copy(buf, "xxxxxxxx")
	if string(kv.Key) != "key" || string(kv.Value) != "value" || kv.Lease != 7 || kv.Version != 3 {
		t.Errorf("%v", kv)
	}
	_ = append(kv.Key, "boom"...)
	if string(kv.Value) != "value" {
		t.Error("appending to the key reaches the value")
	}
}

// TestHistoryModel compares a bounded history with one that keeps everything.
func TestHistoryModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		h := history{maxEvents: 1 + r.IntN(20), maxBytes: 1 << 40}
		if r.IntN(2) == 0 {
			h.maxBytes = 1 + r.Int64N(4000)
		}
		var all []*batch
		rev := int64(10)
		h.restart(rev)
		begin := 0 // the first batch from which the history is complete
		for range 100 {
			if r.IntN(20) == 0 {
				rev += r.Int64N(20) - 10
				if r.IntN(2) == 0 {
					b := &batch{rev: rev, synthesized: true}
					b.add(&mvccpb.KeyValue{ModRevision: rev}, nil, mvccpb.Event_PUT)
					h.push(b)
					all = append(all, b)
				}
				h.restart(rev)
				begin = len(all)
				continue
			}
			b := &batch{}
			for range 1 + r.IntN(3) {
				rev++
				b.add(&mvccpb.KeyValue{ModRevision: rev, Value: make([]byte, r.IntN(100))}, nil, mvccpb.Event_PUT)
			}
			h.push(b)
			all = append(all, b)
			if h.next() != uint64(len(all)) || (len(h.items) > 1 && (h.events > h.maxEvents || h.bytes > h.maxBytes)) {
				t.Fatalf("seed %d: %d events, %d bytes, next %d", seed, h.events, h.bytes, h.next())
			}
			for n, want := range all {
				got, lost := h.at(uint64(n))
				if got != nil && got != want || (got == nil) != lost {
					t.Fatalf("seed %d: batch %d is %v, %v", seed, n, got, lost)
				}
			}
			if got, lost := h.at(h.next()); got != nil || lost {
				t.Fatalf("seed %d: the next is %v, %v", seed, got, lost)
			}
			for from := rev - 15; from <= rev+2; from++ {
				n, ok := h.find(from)
				if !ok {
					continue
				}
				// The history has all events from begin on, so those from this revision on are in n
				// and later.
				for i := begin; i < len(all); i++ {
					if all[i].rev >= from && uint64(i) < n {
						t.Fatalf("seed %d: the events from %d on begin at %d, without %d", seed, from, n, i)
					}
				}
				if n < uint64(begin) || n < h.first {
					t.Fatalf("seed %d: the events from %d on begin at %d, before %d", seed, from, n, begin)
				}
			}
			if _, ok := h.find(rev + 1); !ok {
				t.Fatalf("seed %d: the next revision is not found", seed)
			}
		}
	}
}

func TestSpans(t *testing.T) {
	all, a, ab := prefixSpan(""), prefixSpan("a"), prefixSpan("ab")
	last := prefixSpan("\xff")
	for _, x := range []struct {
		outer, inner  span
		covers, meets bool
	}{
		{all, a, true, true}, {a, ab, true, true}, {ab, a, false, true}, {all, last, true, true},
		{last, all, false, true},
		{a, last, false, false}, {a, spanOf("b", ""), false, false}, {a, spanOf("a", ""), true, true},
		{a, spanOf("a", noEnd), false, true},
		{last, spanOf("\xffx", noEnd), true, true}, {a, spanOf("0", "a"), false, false},
		{a, spanOf("0", "a\x00"), false, true},
	} {
		if x.outer.covers(x.inner) != x.covers || x.outer.overlaps(x.inner) != x.meets {
			t.Errorf("%+v and %+v: %v, %v", x.outer, x.inner, x.outer.covers(x.inner), x.outer.overlaps(x.inner))
		}
	}
	if key, one := spanOf("k", "").one(); !one || key != "k" || !a.has("a") || a.has("b") || !all.has("\xff\xff") {
		t.Error("single keys")
	}
	if _, one := spanOf("k", "k\x01").one(); one {
		t.Error("a range is no single key")
	}
}

func TestVersionsWhoseProgressCanBeBelieved(t *testing.T) {
	for version, want := range map[string]bool{
		"3.4.30": false, "3.4.31": true, "3.5.12": false, "3.5.13": true, "3.5.21": true, "3.6.0": true, "3.7.3": true,
		"3.3.99": false,
		"4.0.0":  true, "3.6.0-rc.1": false, "": false, "3.5": false, "not a version": false,
	} {
		if sound(version) != want {
			t.Errorf("%q", version)
		}
	}
}

// TestSameRevisionOtherValue: a restored cluster can have another value at the same revisions. An
// event of a revision that the copy has already changes nothing.
func TestSameRevisionOtherValue(t *testing.T) {
	kv := func(value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte("k"), Value: []byte(value), ModRevision: 5, CreateRevision: 5, Version: 1}
	}
	c := &core{keys: new(tree)}
	if b := c.apply([]*clientv3.Event{{Kv: kv("old")}}); b == nil || len(b.plain) != 1 {
		t.Fatalf("the first event: %v", b)
	}
	if b := c.apply([]*clientv3.Event{{Kv: kv("old")}}); b != nil {
		t.Errorf("the same event again: %v", b.plain)
	}
	found := new(tree)
	found.Set("k", kv("new"))
	b := c.replace(found, 5)
	if b == nil || len(b.plain) != 1 || string(b.plain[0].Kv.Value) != "new" {
		t.Errorf("another value at the same revision: %v", b)
	}
}
