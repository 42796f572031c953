package cache

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMarks(t *testing.T) {
	start := time.Now()
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	rev := int64(10)
	var a age
	check := func(what string, now, want int) {
		t.Helper()
		if got := a.get(at(now)); got != time.Duration(want)*time.Second {
			t.Errorf("%s: %v, want %d s", what, got, want)
		}
	}
	note := func(n int, of int64) { a.note(mark{at(n), of}, func() int64 { return rev }) }
	a.begin(at(1), false)
	check("a listing that took two seconds", 3, 2)
	note(4, 10)
	check("a mark that was reached before", 5, 1)
	note(5, 20)
	note(6, 30)
	check("marks ahead", 7, 3)
	a.reached(20)
	check("one is reached", 8, 3)
	note(3, 9)
	check("an answer that comes late", 8, 3)
	a.quiet(at(9), at(6), rev)
	check("the watch has said something since", 9, 4)
	a.quiet(at(6), at(5), rev)
	check("there was no time to say something", 6, 1)
	a.owe(21)
	a.quiet(at(9), at(5), 20)
	check("there was a change that the watch has not delivered", 9, 4)
	a.quiet(at(9), at(5), 21)
	check("the watch has had time to say something", 9, 3)
	note(10, 40)
	a.begin(at(9), true)
	a.reached(100)
	check("a mark of another history", 12, 3)
	for i := range 100_000 {
		note(20+i, 200+int64(i))
	}
	if n := len(a.ahead); n > marksMost {
		t.Errorf("%d marks", n)
	}
	a.reached(200 + 50_000)
	if got := a.get(at(50_020)); got < 0 || got > 50_000*time.Second {
		t.Errorf("after half of many marks: %v", got)
	}
	a.reached(1_000_000)
	check("after all of them", 100_020, 1)
}

// TestReadsShowWhatTheWatchOwes: if the newest key was put again or is gone, a change is missing.
func TestReadsShowWhatTheWatchOwes(t *testing.T) {
	now := time.Now()
	had := &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 10}
	for name, k := range map[string]struct {
		before *version
		newest *mvccpb.KeyValue
		owed   bool
	}{
		"as before":     {&version{rev: 12, newest: had}, had, false},
		"put again":     {&version{rev: 12, newest: had}, &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 15}, true},
		"deleted":       {&version{rev: 12, newest: had}, nil, true},
		"still not one": {&version{rev: 12}, nil, false},
	} {
		var f feed
		f.age.begin(now.Add(-10*time.Second), false)
		f.shown(k.before, k.newest)
		f.age.note(mark{now.Add(-5 * time.Second), 20}, func() int64 { return 12 })
		f.age.quiet(now, now.Add(-8*time.Second), 12)
		if got := f.age.get(now) > 6*time.Second; got != k.owed {
			t.Errorf("%s: the copy is %v old", name, f.age.get(now))
		}
	}
}

// TestAgeSleepsWithNobody: the time that a machine sleeps counts, and a clock that is set back does
// not make a copy younger.
func TestAgeSleepsWithNobody(t *testing.T) {
	var a age
	now := time.Now()
	a.begin(now.Add(-time.Second), false)
	a.asOf = a.asOf.Round(0) // as if only the clock that can be set had gone on, by a minute
	if got := a.get(now.Add(time.Minute).Round(0)); got != 61*time.Second {
		t.Errorf("%v", got)
	}
}

// truth is writes of ascending numbers to one key, and when each was acknowledged.
type truth struct {
	mu    sync.Mutex
	acked []time.Time // of the numbers from 0
}

// write writes as fast as rate allows, until ctx ends.
func (tr *truth) write(ctx context.Context, kv clientv3.KV, key string, size int, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	fill := " " + strings.Repeat("x", size)
	for n := 0; ; n++ {
		if _, err := kv.Put(clientv3.WithRepeat(ctx), key, fmt.Sprint(n)+fill); err != nil {
			return
		}
		tr.mu.Lock()
		tr.acked = append(tr.acked, time.Now())
		tr.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (tr *truth) written() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.acked)
}

// behind returns how long a copy with value n is behind: since when it lacks the next.
func (tr *truth) behind(n int, now time.Time) time.Duration {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if n+1 >= len(tr.acked) {
		return 0
	}
	return now.Sub(tr.acked[n+1])
}

// check compares what the cache says with the truth.
func (tr *truth) check(t *testing.T, ca *Cache, key string) (age, behind time.Duration) {
	t.Helper()
	now := time.Now()
	age, ok := ca.Age()
	r, err := ca.Get(t.Context(), key, clientv3.WithSerializable()) // after the age: it can only be newer
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	n := -1
	if len(r.Kvs) > 0 {
		text, _, _ := strings.Cut(string(r.Kvs[0].Value), " ")
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if behind = tr.behind(n, now); behind > age {
		t.Errorf("the copy was %v old and said %v", behind, age)
	}
	return age, behind
}

// TestAgeOfACopyThatFallsBehind: over a link for a third of what is written, however fast the
// machine writes, and afterwards. In the end answers take 20 s.
func TestAgeOfACopyThatFallsBehind(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprintf("elsewhere=%v", elsewhere), func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			m := cluster.Members()[0]
			direct, client := clienttest.Dial(t, m.Direct), clienttest.Dial(t, m.Endpoint)
			ca, err := New(client, []string{"p/", "q/"})
			if err != nil {
				t.Fatal(err)
			}
			defer ca.Close()
			ctx := clienttest.Within(t, 5*clienttest.Long)
			if err := ca.WaitReady(ctx); err != nil {
				t.Fatal(err)
			}
			writing, stop := context.WithCancel(ctx)
			defer stop()
			var tr truth
			var wg sync.WaitGroup
			const size = 2000
			wg.Go(func() { tr.write(writing, direct, "p/k", size, 10*time.Millisecond) })
			if elsewhere {
				wg.Go(func() { new(truth).write(writing, direct, "elsewhere", 10, 5*time.Millisecond) })
			}
			began := time.Now()
			clienttest.Await(t, "the pace of writes", func() bool { return tr.written() >= 50 })
			m.Proxy().Throttle(int(size * 50 / time.Since(began).Seconds() / 3))
			var most, mostAge time.Duration
			look := func() bool {
				age, behind := tr.check(t, ca, "p/k")
				most, mostAge = max(most, behind), max(mostAge, age)
				return age < 2*time.Second && behind == 0
			}
			time.AfterFunc(10*time.Second, stop)
			for writing.Err() == nil && !t.Failed() {
				look()
				time.Sleep(10 * time.Millisecond) // the pace of the samples
			}
			wg.Wait()
			for !look() { // far longer than a step: all that was written has to come first
				if backoff.Sleep(ctx, 10*time.Millisecond) != nil {
					t.Fatal("the copy never had everything and said so")
				}
			}
			if most < time.Second {
				t.Errorf("the copy was never far behind: %v", most)
			}
			if mostAge > most+5*time.Second {
				t.Errorf("the copy was %v behind and said %v", most, mostAge)
			}
			t.Logf("at most %v behind, and it said %v", most, mostAge)
		})
	}
}

// TestAgeWhereServersSayNothing: behind the gRPC proxy, with writes elsewhere only.
func TestAgeWhereServersSayNothing(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{})
	direct, client := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Dial(t, etcdtest.Proxy(t, cluster))
	ca, err := New(client, []string{"p/"})
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	ctx := clienttest.Within(t, clienttest.Long)
	if err := ca.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	writing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { new(truth).write(writing, direct, "elsewhere", 10, 5*time.Millisecond) })
	for range 3 {
		since := time.Now()
		clienttest.Await(t, "it is known that the copy is right", func() bool {
			age, _ := ca.Age()
			return time.Now().Add(-age).After(since)
		})
	}
}

// TestAgeOfADeafWatch: servers that say how far the watch is have done so, and then it is silent.
func TestAgeOfADeafWatch(t *testing.T) {
	t.Parallel()
	ctx := clienttest.Within(t, clienttest.Long)
	client := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	w := &deaf{Watcher: clientv3.NewWatcher(client)}
	defer w.Close()
	ca, err := New(client, []string{"p/"}, WithSource(client, w))
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	if err := ca.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the server says how far the watch is", func() bool {
		if _, err := client.Put(ctx, "elsewhere", ""); err != nil {
			t.Fatal(err)
		}
		return ca.feeds[0].gate.answers.Load() > 0
	})
	w.now.Store(true)
	for range 2 { // the first may still get through
		if _, err := client.Put(ctx, "p/k", "v"); err != nil {
			t.Fatal(err)
		}
	}
	since := time.Now()
	clienttest.Await(t, "the copy has been old for some seconds", func() bool {
		now := time.Now()
		age, _ := ca.Age()
		if now.Add(-age).After(since) {
			t.Fatalf("the copy is %v old, and lacks what was written %v ago", age, now.Sub(since))
		}
		return now.Sub(since) > 4*quietFor
	})
}

// TestDeafWatchOverARestore: nobody reads, and the watch does not notice that etcd was restored.
func TestDeafWatchOverARestore(t *testing.T) {
	t.Parallel()
	ctx := clienttest.Within(t, 3*clienttest.Long)
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	if _, err := client.Put(ctx, "p/k", "before"); err != nil {
		t.Fatal(err)
	}
	w := &deaf{Watcher: clientv3.NewWatcher(client)}
	defer w.Close()
	ca, err := New(client, []string{"p/", "other/"}, WithSource(client, w))
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	if err := ca.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	w.now.Store(true)
	rewrite(t, cluster, 1)
	clienttest.Await(t, "the copy is that of the new history", func() bool {
		r, err := ca.Get(ctx, "p/k", clientv3.WithSerializable())
		return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == "after"
	})
}
