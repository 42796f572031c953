package cache_test

import (
	"context"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// take receives n events.
func take(t testing.TB, ch clientv3.WatchChan, n int) []*clientv3.Event {
	t.Helper()
	var events []*clientv3.Event
	for len(events) < n {
		r := clienttest.Receive(t, "events", ch)
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		events = append(events, r.Events...)
	}
	if len(events) > n {
		t.Fatalf("%d events instead of %d", len(events), n)
	}
	return events
}

func text(events []*clientv3.Event) (s string) {
	for i, e := range events {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprintf("%s %s", e.Type, e.Kv.Key[len(e.Kv.Key)-1:])
		if e.Kv.Value != nil {
			s += "=" + string(e.Kv.Value)
		}
		if e.PrevKv != nil {
			s += "(" + string(e.PrevKv.Value) + ")"
		}
	}
	return s
}

func TestWatchOptions(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	ca := open(t, c, []string{p})
	var w clientv3.Watcher = ca
	all := w.Watch(within(t), p, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	one := w.Watch(within(t), p+"b")
	some := w.Watch(within(t), p+"b", clientv3.WithRange(p+"d"), clientv3.WithFilterPut())
	from := w.Watch(within(t), p+"c", clientv3.WithRange(clientv3.GetPrefixRangeEnd(p)), clientv3.WithFilterDelete())
	if r := clienttest.Receive(t, "created", all); !r.Created || r.Header.Revision == 0 {
		t.Errorf("first %+v", r)
	}
	rev := put(t, c, p+"a", "1")
	put(t, c, p+"b", "1")
	put(t, c, p+"b", "2")
	_, err := c.Txn(within(t)).
		Then(clientv3.OpDelete(p+"b"), clientv3.OpPut(p+"c", "1"), clientv3.OpPut(p+"d", "1")).
		Commit()
	if err != nil {
		t.Fatal(err)
	}
	remove(t, c, p+"c")
	put(t, c, p+"b", "3")
	for _, x := range []struct {
		name string
		ch   clientv3.WatchChan
		n    int
		want string
	}{
		{"all", all, 8, "PUT a=1 PUT b=1 PUT b=2(1) DELETE b(2) PUT c=1 PUT d=1 DELETE c(1) PUT b=3"},
		{"one", one, 4, "PUT b=1 PUT b=2 DELETE b PUT b=3"},
		{"some", some, 2, "DELETE b DELETE c"},
		{"from", from, 2, "PUT c=1 PUT d=1"},
		{"in the past", ca.Watch(within(t), p, clientv3.WithPrefix(),
			clientv3.WithRev(rev+1)), 7, "PUT b=1 PUT b=2 DELETE b PUT c=1 PUT d=1 DELETE c PUT b=3"},
	} {
		if got := text(take(t, x.ch, x.n)); got != x.want {
			t.Errorf("%s: %s, not %s", x.name, got, x.want)
		}
	}
	// Watches outside the prefix, and from a revision that is still to come.
	outside := ca.Watch(within(t), t.Name()+"x")
	future := ca.Watch(within(t), p, clientv3.WithPrefix(), clientv3.WithRev(put(t, c, p+"y", "")+2))
	put(t, c, t.Name()+"x", "1")
	put(t, c, p+"z", "1")
	if got := text(take(t, outside, 1)); got != "PUT x=1" {
		t.Errorf("outside: %s", got)
	}
	if got := text(take(t, future, 1)); got != "PUT z=1" {
		t.Errorf("from a later revision: %s", got)
	}
}

// TestWatchThatTheCopyCannotServe: watches of all keys, of none, and with a context that has ended.
func TestWatchThatTheCopyCannotServe(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	ca := open(t, c, []string{p})
	all := ca.Watch(within(t), "", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if r := clienttest.Receive(t, "created", all); !r.Created {
		t.Errorf("first %+v", r)
	}
	rev := put(t, c, p+"a", "1")
	for {
		r := clienttest.Receive(t, "events", all)
		if e := r.Events[len(r.Events)-1]; e.Kv.ModRevision >= rev {
			break
		}
	}
	empty := ca.Watch(within(t), p+"a", clientv3.WithRange(p+"a"))
	if r := clienttest.Receive(t, "its end", empty); !r.Canceled || r.Err() == nil || r.CancelReason == "" {
		t.Errorf("an empty range ends with %+v", r)
	}
	ended, cancel := context.WithCancel(within(t))
	cancel()
	if r, more := <-ca.Watch(ended, p, clientv3.WithPrefix(), clientv3.WithCreatedNotify()); more {
		t.Errorf("after its context's end: %+v", r)
	}
}

// A transaction is one response and changes the copy at once.
func TestRevisionsAreWhole(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	ca := open(t, c, []string{p})
	w := ca.Watch(within(t), p, clientv3.WithPrefix())
	for i := range 50 {
		v := fmt.Sprint(i)
		if _, err := c.Txn(within(t)).Then(clientv3.OpPut(p+"a", v), clientv3.OpPut(p+"b", v)).Commit(); err != nil {
			t.Fatal(err)
		}
		s := ca.Snapshot()
		if a, b := s.Get(p+"a").GetValue(), s.Get(p+"b").GetValue(); string(a) != string(b) {
			t.Fatalf("a is %s and b %s", a, b)
		}
	}
	for seen := 0; seen < 100; {
		r := clienttest.Receive(t, "events", w)
		if len(r.Events)%2 != 0 {
			t.Fatalf("%d events", len(r.Events))
		}
		seen += len(r.Events)
		// A consumer that has seen an event finds it in the copy.
		last := r.Events[len(r.Events)-1].Kv
		if kv := ca.Snapshot().Get(string(last.Key)); kv.GetModRevision() < last.ModRevision {
			t.Fatalf("an event of %d, and the copy has %v", last.ModRevision, kv)
		}
	}
}

// A consumer that is behind gets everything in order: from the history, and from etcd when it
// is further behind than that; the others do not wait for it.
func TestSlowConsumerGetsEverythingInOrder(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	ca := open(t, c, []string{p}, cache.WithHistory(50, 1<<20))
	const n = 400
	slow := ca.Watch(within(t), p, clientv3.WithPrefix(), clientv3.WithPrevKV())
	fast := ca.Watch(within(t), p, clientv3.WithPrefix())
	var begin int64
	for i := range n {
		rev := put(t, c, p+fmt.Sprint(i%3), fmt.Sprint(i))
		if begin == 0 {
			begin = rev
		}
		take(t, fast, 1)
	}
	early := ca.Watch(within(t), p, clientv3.WithPrefix(), clientv3.WithRev(begin+n/2))
	check := func(ch clientv3.WatchChan, i int) {
		for i < n+20 {
			if i >= n { // now it keeps up
				put(t, c, p+fmt.Sprint(i%3), fmt.Sprint(i))
			}
			r := clienttest.Receive(t, "an event", ch)
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			for _, e := range r.Events {
				if got := string(e.Kv.Value); got != fmt.Sprint(i) {
					t.Fatalf("%s after %d", got, i-1)
				}
				i++
			}
		}
	}
	check(slow, 0)
	cctx, cancel := context.WithCancel(context.Background())
	stuck := ca.Watch(cctx, p, clientv3.WithPrefix())
	for range 10 {
		put(t, c, p+"stuck", "")
	}
	for range 20 {
		clienttest.Receive(t, "an event", early)
	}
	cancel()
	clienttest.Await(t, "the stuck watch ends", func() bool {
		select {
		case _, more := <-stuck:
			return !more
		default:
			return false
		}
	})
}

func TestWatchOfACompactedPastEnds(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	rev := put(t, c, p+"a", "1")
	put(t, c, p+"a", "2")
	last := put(t, c, p+"a", "3")
	ca := open(t, c, []string{p})
	if _, err := ca.Compact(within(t), last); err != nil {
		t.Fatal(err)
	}
	r := clienttest.Receive(t, "the end", ca.Watch(within(t), p, clientv3.WithPrefix(), clientv3.WithRev(rev)))
	if r.Err() != rpctypes.ErrCompacted || r.CompactRevision != last {
		t.Errorf("%v, %+v", r.Err(), r)
	}
}

func TestProgress(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	ca := open(t, c, []string{p})
	w := ca.Watch(within(t), p, clientv3.WithPrefix())
	rev := put(t, c, t.Name()+"elsewhere", "")
	clienttest.Await(t, "progress", func() bool {
		if err := ca.RequestProgress(within(t)); err != nil {
			t.Fatal(err)
		}
		if etcdtest.Shared(t).Version() < "3.5" {
			return true // these servers do not say how far they are
		}
		select {
		case r := <-w:
			return r.IsProgressNotify() && r.Header.Revision >= rev
		default:
			return false
		}
	})
}
