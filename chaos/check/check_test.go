package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

const ms = time.Millisecond

// expect checks that there are no violations if no words are given, else that there is one whose
// text contains every word.
func expect(t *testing.T, got []Violation, words ...string) {
	t.Helper()
	if len(words) == 0 {
		if len(got) != 0 {
			t.Errorf("a good history was refused: %v", got)
		}
		return
	}
	for _, v := range got {
		all := true
		for _, w := range words {
			all = all && strings.Contains(v.String(), w)
		}
		if all {
			return
		}
	}
	t.Errorf("no violation with %q, but %v", words, got)
}

// story builds a history: a store that is written one change after the other, and calls alongside.
type story struct {
	truth history.Truth
	ops   []history.Op
	now   time.Duration
}

func newStory() *story {
	return &story{truth: history.Truth{First: 2, Last: 1}}
}

// commit adds a revision.
func (s *story) commit(events ...history.Event) int64 {
	s.truth.Last++
	for _, e := range events {
		e.Rev, e.Seen = s.truth.Last, s.now
		s.truth.Events = append(s.truth.Events, e)
	}
	return s.truth.Last
}

func put(k, v string) history.Event { return history.Event{Key: k, Value: v} }
func del(k string) history.Event    { return history.Event{Key: k, Delete: true} }

// call adds an operation that lasts for 10 ms beginning 20 ms after the one before it.
func (s *story) call(o history.Op) *history.Op {
	o.ID, o.Call, o.Return = len(s.ops)+1, s.now+20*ms, s.now+30*ms
	s.now += 20 * ms
	if o.Outcome == "" {
		o.Outcome = history.OK
	}
	s.ops = append(s.ops, o)
	return &s.ops[len(s.ops)-1]
}

func (s *story) put(k, v string) *history.Op {
	return s.call(history.Op{Kind: history.Put, Keys: []string{k}, Value: v, Rev: s.commit(put(k, v))})
}

func (s *story) get(k string, saw ...history.KV) *history.Op {
	return s.call(history.Op{Kind: history.Get, Keys: []string{k}, Saw: saw, Rev: s.truth.Last})
}

func (s *story) cas(k, v string, expect int64, applied bool, saw ...history.KV) *history.Op {
	o := history.Op{Kind: history.CAS, Keys: []string{k}, Value: v, Expect: expect, Applied: applied, Saw: saw}
	if applied {
		s.commit(put(k, v))
	}
	o.Rev = s.truth.Last
	return s.call(o)
}

func (s *story) unknown(k, v string) *history.Op {
	return s.call(history.Op{Kind: history.Put, Keys: []string{k}, Value: v, Outcome: history.Unknown, Err: "lost"})
}

func kv(k, v string, rev int64) history.KV { return history.KV{Key: k, Value: v, ModRev: rev} }

func (s *story) linear() []Violation {
	return Linear(s.ops, &s.truth, "", s.now+time.Second, 10*time.Second)
}

func (s *story) order() []Violation { return append(Whole(&s.truth), Order(s.ops, &s.truth)...) }

// good is a history with everything in it.
func good() *story {
	s := newStory()
	s.get("a")
	s.put("a", "1")                            // 2
	s.get("a", kv("a", "1", 2))                //
	s.cas("a", "2", 2, true)                   // 3
	s.cas("a", "3", 2, false, kv("a", "2", 3)) //
	s.cas("b", "4", 0, true)                   // 4
	s.call(
		history.Op{
			Kind: history.Range,
			Rev:  4,
			Keys: []string{""},
			Saw:  []history.KV{kv("a", "2", 3), kv("b", "4", 4)},
		},
	)
	rev := s.commit(put("a", "5"), put("b", "5")) // 5
	s.call(history.Op{Kind: history.PutAll, Keys: []string{"a", "b"}, Value: "5", Rev: rev})
	rev = s.commit(del("a"), put("m", "6")) // 6
	s.call(
		history.Op{
			Kind:  history.Delete,
			Keys:  []string{"a", "m"},
			Value: "6",
			Rev:   rev,
			Saw:   []history.KV{kv("a", "5", 5)},
		},
	)
	rev = s.commit(put("m", "7")) // 7: nothing to delete
	s.call(history.Op{Kind: history.Delete, Keys: []string{"a", "m"}, Value: "7", Rev: rev})
	s.get("a")
	s.call(
		history.Op{
			Kind:         history.Get,
			Keys:         []string{"a"},
			Serializable: true,
			Rev:          3,
			Saw:          []history.KV{kv("a", "2", 3)},
		},
	)
	s.unknown("a", "never")
	s.unknown("a", "late")
	s.get("a")
	s.commit(put("a", "late")) // 8: long after its caller gave up
	s.get("a", kv("a", "late", 8))
	s.call(
		history.Op{Kind: history.Put, Keys: []string{"a"}, Value: "refused", Outcome: history.Failed, Err: "refused"},
	)
	return s
}

func TestGoodHistory(t *testing.T) {
	s := good()
	expect(t, s.linear())
	expect(t, s.order())
}

func TestLinear(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *story)
		words []string // nil: still good
	}{
		"old read": {
			func(s *story) { s.put("a", "x"); s.get("a", kv("a", "late", 8)) }, []string{"linear", "a:", "get a"},
		},
		"old read of absence":    {func(s *story) { s.get("a") }, []string{"not linearizable"}},
		"read of what never was": {func(s *story) { s.get("a", kv("a", "ghost", 8)) }, []string{"not linearizable"}},
		"read of a failed value": {func(s *story) { s.get("a", kv("a", "refused", 9)) }, []string{"not linearizable"}},
		"wrong revision":         {func(s *story) { s.get("a", kv("a", "late", 7)) }, []string{"not linearizable"}},
		"applied too often": {
			func(s *story) { s.cas("a", "x", 8, true); s.cas("a", "y", 8, true) }, []string{"not linearizable"},
		},
		"not applied though": {
			func(s *story) { s.cas("a", "x", 8, false, kv("a", "late", 8)) }, []string{"not linearizable"},
		},
		"concurrent reads differ": {func(s *story) {
			p := s.put("a", "x") // 9
			p.Return += time.Second
			s.get("a", kv("a", "late", 8))
			s.get("a", kv("a", "x", 9))
		}, nil},
		"concurrent reads go back": {func(s *story) {
			p := s.put("a", "x") // 9
			p.Return += time.Second
			s.get("a", kv("a", "x", 9))
			s.get("a", kv("a", "late", 8))
		}, []string{"not linearizable"}},
		"write before its call": {func(s *story) {
			s.commit(put("a", "x")) // 9
			s.get("a", kv("a", "x", 9))
			s.call(history.Op{Kind: history.Put, Keys: []string{"a"}, Value: "x", Rev: 9})
		}, []string{"not linearizable"}},
		"revisions against the clock": {func(s *story) {
			s.commit(put("a", "x")) // 9
			s.put("a", "y")         // 10
			s.call(history.Op{Kind: history.Put, Keys: []string{"a"}, Value: "x", Rev: 9})
		}, []string{"not linearizable"}},
		"delete of something else": {func(s *story) {
			rev := s.commit(del("a"), put("m", "x"))
			s.call(history.Op{Kind: history.Delete, Keys: []string{"a", "m"}, Value: "x", Rev: rev})
		}, []string{"not linearizable"}},
		"delete of unknown outcome": {func(s *story) {
			s.commit(del("a"), put("m", "x"))
			s.call(history.Op{Kind: history.Delete, Keys: []string{"a", "m"}, Value: "x", Outcome: history.Unknown})
			s.get("a")
		}, nil},
		"many of unknown outcome": {func(s *story) {
			for i := range 60 {
				s.unknown("a", fmt.Sprint("u", i))
				if i%2 == 0 {
					rev := s.commit(put("a", fmt.Sprint("u", i)))
					s.get("a", kv("a", fmt.Sprint("u", i), rev))
				}
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.spoil(s)
			expect(t, s.linear(), c.words...)
		})
	}
}

func TestLinearGivesUp(t *testing.T) {
	s := good()
	expect(t, Linear(s.ops, &s.truth, "", s.now, 1), "not decided")
}

func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *story)
		words []string
	}{
		"lost write": {func(s *story) {
			s.call(history.Op{Kind: history.Put, Keys: []string{"a"}, Value: "x", Rev: 8})
		}, []string{"lost"}},
		"written twice": {
			func(s *story) { s.put("a", "x"); s.commit(put("a", "x")) }, []string{"once", "again at 10"},
		},
		"failed, but was": {func(s *story) { s.commit(put("a", "refused")) }, []string{"failed for certain"}},
		"other revision": {
			func(s *story) { s.put("a", "x").Rev--; s.truth.Last++; s.put("z", "y") }, []string{"not as acknowledged"},
		},
		"not applied, but was": {func(s *story) {
			s.cas("a", "x", 3, false, kv("a", "late", 8))
			s.commit(put("a", "x"))
		}, []string{"did not apply did"}},
		"half a transaction": {func(s *story) {
			s.commit(put("a", "x"))
			s.call(history.Op{Kind: history.PutAll, Keys: []string{"a", "b"}, Value: "x", Outcome: history.Unknown})
		}, []string{"in parts"}},
		"half an acknowledged one": {func(s *story) {
			s.call(history.Op{Kind: history.PutAll, Keys: []string{"a", "b"}, Value: "x", Rev: s.commit(put("a", "x"))})
		}, []string{"lost"}},
		"torn range": {func(s *story) {
			s.call(history.Op{Kind: history.Range, Rev: 5, Keys: []string{""}, Serializable: true, Saw: []history.KV{
				kv("a", "5", 5), kv("b", "4", 4),
			}})
		}, []string{"revision 5 held"}},
		"old read claims to be new": {func(s *story) {
			s.call(history.Op{
				Kind: history.Get, Rev: 8, Keys: []string{"a"}, Serializable: true, Saw: []history.KV{kv("a", "5", 5)},
			})
		}, []string{"revision 8 held"}},
		"from the future": {func(s *story) { s.get("b", kv("b", "5", 5)).Rev++ }, []string{"beyond the last"}},
		"old over keys": {func(s *story) {
			s.put("z", "x")
			s.get("a", kv("a", "late", 8)).Rev = 8 // right for its key, but z is already at 9
		}, []string{"contradict the clocks"}},
		"a hole": {func(s *story) { s.truth.Last++; s.put("a", "x") }, []string{"truth", "from revision 8"}},
		"an end": {func(s *story) { s.truth.Last++ }, []string{"truth", "ends at revision 8"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.spoil(s)
			expect(t, s.order(), c.words...)
		})
	}
}

func TestRecovered(t *testing.T) {
	s := newStory()
	s.put("a", "1")
	s.get("a", kv("a", "1", 2))
	expect(t, Recovered(s.ops, 0))
	expect(t, Recovered(s.ops, s.ops[0].Call), "writes: false")
	expect(t, Recovered(s.ops, s.now), "reads: false")
}
