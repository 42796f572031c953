package watch

import (
	"reflect"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func event(kind mvccpb.Event_EventType, key string, rev int64, value string) *mvccpb.Event {
	return &mvccpb.Event{
		Type: kind,
		Kv: &mvccpb.KeyValue{
			Key:            []byte(key),
			CreateRevision: rev,
			ModRevision:    rev,
			Version:        1,
			Value:          []byte(value),
		},
	}
}

// The witness is reused for the next revision. Nothing of the one before is left in it.
func TestWitnessIsTheNewestRevision(t *testing.T) {
	w := &watcher{}
	keysOnly := Change{Key: []byte("listed"), KeyOnly: true, sum: sumOf(event(mvccpb.PUT, "listed", 5, "").Kv)}
	empty := Change{Key: []byte("a"), End: []byte("z"), Absent: true}
	for name, before := range map[string]witness{
		"none":       {},
		"keys only":  {revision: 5, changes: []Change{keysOnly}},
		"no key":     {revision: 5, changes: []Change{empty}},
		"no key yet": {revision: 50, changes: []Change{empty}}, // weaker than any event, though newer
		"a deletion": {revision: 5, changes: []Change{{Key: []byte("d"), Deleted: true}}},
	} {
		k := before
		k.note(
			w,
			[]*mvccpb.Event{
				event(mvccpb.PUT, "b", 8, "old"),
				event(mvccpb.DELETE, "gone", 9, ""),
				event(mvccpb.PUT, "k", 9, "v"),
			},
			9,
		)
		q := k.question([]byte("k"))
		if q.Revision != 9 || len(q.Changes) != 2 {
			t.Errorf("after %s: %+v", name, q)
			continue
		}
		put, gone := q.Changes[0], q.Changes[1]
		if string(gone.Key) != "gone" || !gone.Deleted || gone.Absent || gone.End != nil {
			t.Errorf("after %s: the deletion is %+v", name, gone)
		}
		if put.Deleted || put.Absent || put.End != nil || !put.SameAs(event(mvccpb.PUT, "k", 9, "v").Kv) ||
			put.SameAs(event(mvccpb.PUT, "k", 9, "w").Kv) {
			t.Errorf("after %s: the put is %+v", name, put)
		}
		k.note(w, []*mvccpb.Event{event(mvccpb.PUT, "x", 10, "v"), event(mvccpb.PUT, "yyyy", 10, "v")}, 9)
		if string(gone.Key) != "gone" || string(put.Key) != "k" {
			t.Errorf("after %s: a delivery has changed an earlier question: %s, %s", name, gone.Key, put.Key)
		}
		k.note(w, []*mvccpb.Event{event(mvccpb.PUT, "late", 7, "v")}, 9)
		if k.revision != 10 {
			t.Errorf("after %s: an older revision is the witness", name)
		}
	}
}

// An empty range is the witness only while there is no key, listed or delivered.
func TestWitnessIsAKeyRatherThanAnEmptyRange(t *testing.T) {
	empty := witness{revision: 50, changes: []Change{{Key: []byte("a"), Absent: true}}}
	key := witness{revision: 40, newest: 30, changes: []Change{{Key: []byte("k")}}}
	newer := witness{revision: 39, newest: 31, changes: []Change{{Key: []byte("l")}}}
	for _, c := range []struct {
		name  string
		heard []witness
		want  int64
	}{
		{"empty", []witness{empty}, 50}, {"empty, then a key", []witness{empty, key}, 40},
		{"a key, then empty", []witness{key, empty}, 40},
		{"two keys", []witness{newer, key}, 39}, {"two keys, the newer last", []witness{key, newer}, 39},
		{"nothing known", []witness{key, {}}, 40},
	} {
		var k witness
		for _, l := range c.heard {
			k.listed(l)
		}
		if k.revision != c.want {
			t.Errorf("%s: the witness is of %d, not %d", c.name, k.revision, c.want)
		}
	}
}

// A watcher's own witness is its newest event, in memory of its own, whoever has the group's.
func TestWatcherKeepsItsNewestEvent(t *testing.T) {
	g := &group{}
	one, other := &watcher{g: g}, &watcher{g: g}
	got := func(w *watcher, evs ...*mvccpb.Event) {
		g.witness.note(w, evs, witnessKeys)
		w.noteOwn(evs)
	}
	is := func(w *watcher, rev int64, changes ...Change) {
		t.Helper()
		q := w.own.question(nil)
		for i := range q.Changes {
			if q.Changes[i].Deleted {
				q.Changes[i].sum = 0 // of no meaning
			}
		}
		if q.Revision != rev || !reflect.DeepEqual(q.Changes, changes) {
			t.Errorf("at %d: %+v instead of %+v", rev, q, changes)
		}
	}
	put := func(key string, rev int64) (*mvccpb.Event, Change) {
		ev := event(mvccpb.PUT, key, rev, "v")
		return ev, Change{Key: []byte(key), size: 1, sum: sumOf(ev.Kv)}
	}
	a, changeA := put("a", 5)
	b, changeB := put("b", 6)
	c, changeC := put("c", 4)
	got(one, a)
	got(other, b)
	is(one, 5, changeA)
	is(other, 6, changeB)
	got(one, event(mvccpb.DELETE, "d", 7, ""))
	is(one, 7, Change{Key: []byte("d"), Deleted: true}, changeA)
	got(other, event(mvccpb.DELETE, "b", 8, ""))
	is(other, 8, Change{Key: []byte("b"), Deleted: true})
	late := &watcher{g: g}
	got(late, c)
	is(late, 4, changeC)
	e, changeE := put("e", 9)
	got(one, e)
	is(one, 9, changeE)
	got(other, event(mvccpb.PUT, "other", 10, "v"))
	is(one, 9, changeE)
}
