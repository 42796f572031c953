package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// changesPerFault are enough for several transactions of the mirror.
const changesPerFault = 200

// TestFaults writes to the source while both networks break in turn, and one side
// freezes, and expects equal sides at the end.
func TestFaults(t *testing.T) {
	from, to := etcdtest.Start(t, etcdtest.Options{Proxied: true}), etcdtest.Start(t, etcdtest.Options{Proxied: true})
	writer := clienttest.Dial(t, from.Members()[0].Direct)
	reader := clienttest.Dial(t, to.Members()[0].Direct)
	source, target := clienttest.Dial(t, from.Endpoints()...), clienttest.Dial(t, to.Endpoints()...)
	r := start(t, source, target)
	r.reach(put(t, writer, "begin", ""))

	ctx := clienttest.Within(t, 4*clienttest.Long)
	enough := make(chan struct{}) // no write is cancelled, since it might be executed after the end
	written := make(chan error, 1)
	var changes atomic.Int64 // by the writer
	go func() {
		random := rand.New(rand.NewPCG(1, 2))
		for n := 0; ; n++ {
			select {
			case <-enough:
				written <- nil
				return
			default:
			}
			key := fmt.Sprint("key/", random.IntN(50))
			var err error
			if random.IntN(3) == 0 {
				_, err = writer.Delete(ctx, key)
			} else {
				_, err = writer.Put(ctx, key, fmt.Sprint(n))
			}
			if err != nil {
				written <- err
				return
			}
			changes.Add(1)
		}
	}()
	a, b := from.Members()[0], to.Members()[0]
	faults := []func() error{
		func() error { b.Proxy().Reset(); return nil },
		func() error { a.Proxy().Reset(); return nil },
		func() error { b.Proxy().Cut(); return nil },
		func() error { a.Proxy().Cut(); return nil },
		func() error { b.Proxy().BlackHole(); return nil },
		func() error { a.Proxy().BlackHole(); return nil },
		b.Freeze,
	}
	for i, fault := range faults {
		if err := fault(); err != nil {
			t.Fatal(err)
		}
		// The mirror misses the writer's writes meanwhile.
		missed := changes.Load() + changesPerFault
		clienttest.Await(t, "changes during the fault", func() bool { return changes.Load() >= missed })
		if i == 3 || i == 5 {
			// The missed revisions are compacted.
			if _, err := writer.Compact(ctx, put(t, writer, "compacted", fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = a.Proxy().Heal(), b.Proxy().Heal()
		if i == len(faults)-1 {
			if err := b.Thaw(); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		r.reach(put(t, writer, "round", fmt.Sprint(i)))
		t.Logf("fault %d: caught up %v after its end, %+v", i, time.Since(begin), r.last)
	}
	close(enough)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	r.reach(put(t, writer, "end", ""))
	r.stop()
	sameWhole(t, writer, reader)
}

// TestKilledTargetIsCompleteInTheEnd: a target that was killed and restarted is complete in the
// end.
func TestKilledTargetIsCompleteInTheEnd(t *testing.T) {
	to := etcdtest.Start(t, etcdtest.Options{})
	source, target := clienttest.Dial(
		t,
		etcdtest.Start(t, etcdtest.Options{}).Endpoints()...), clienttest.Dial(
		t,
		to.Endpoints()...)
	r := start(t, source, target, mirror.WithPrefix("a/"))
	for i := range 3 {
		r.reach(put(t, source, fmt.Sprint("a/", i), ""))
		to.Members()[0].Kill()
		rev := put(t, source, fmt.Sprint("a/while down ", i), "")
		if err := to.Members()[0].Restart(); err != nil {
			t.Fatal(err)
		}
		r.reach(rev)
	}
	r.stop()
	same(t, source, "a/", target, "a/")
}

// TestFrozenTargetLeader: requests that the frozen leader had accepted are executed late, when it
// thaws, and undo nothing.
func TestFrozenTargetLeader(t *testing.T) {
	to := etcdtest.Start(t, etcdtest.Options{Members: 3})
	source, target := clienttest.Dial(
		t,
		etcdtest.Start(t, etcdtest.Options{}).Endpoints()...), clienttest.Dial(
		t,
		to.Endpoints()...)
	r := start(t, source, target)
	r.reach(put(t, source, "begin", ""))
	leader := to.Leader(t)
	ctx, stop := context.WithCancel(clienttest.Within(t, 4*clienttest.Long))
	defer stop()
	written := make(chan error, 1)
	go func() {
		pace := time.NewTicker(5 * time.Millisecond) // slower than the target, which has to catch up
		defer pace.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-pace.C
			if _, err := source.Put(ctx, fmt.Sprint("key/", n%20), fmt.Sprint(n)); err != nil && ctx.Err() == nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	r.reach(put(t, source, "before", ""))
	if err := leader.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	r.reach(put(t, source, "frozen", ""))
	t.Logf("went on %v after the leader froze", time.Since(begin))
	if err := leader.Thaw(); err != nil {
		t.Fatal(err)
	}
	r.reach(put(t, source, "thawed", ""))
	stop()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := leader.WaitReady(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	r.reach(put(t, source, "end", ""))
	r.stop()
	sameWhole(t, source, target)
}

// TestSourceReplaced: the source loses its history, once while the mirror runs and once while it is
// stopped.
func TestSourceReplaced(t *testing.T) {
	from := etcdtest.Start(t, etcdtest.Options{})
	source, target := clienttest.Dial(
		t,
		from.Endpoints()...), clienttest.Dial(
		t,
		etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	fill := func(n int) (rev int64) {
		for i := range n {
			rev = put(t, source, fmt.Sprint("key/", n, "/", i), "")
		}
		return rev
	}
	replace := func() {
		t.Helper()
		m := from.Members()[0]
		m.Kill()
		if err := os.RemoveAll(m.DataDir); err != nil {
			t.Fatal(err)
		}
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := m.WaitReady(clienttest.Within(t, clienttest.Long)); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, source, target)
	r.reach(fill(100))
	replace()
	rev := fill(10)
	for r.last.Comparisons < 2 || r.last.Revision < rev { // the comparison may have found all of them
		r.reach(0)
	}
	r.stop()
	sameWhole(t, source, target)
	replace()
	rev = fill(5)
	r = start(t, source, target)
	r.reach(rev)
	r.stop()
	sameWhole(t, source, target)
}

// TestSourceRestoredRenamed: while the mirror runs, its source is restored from a backup, as a
// cluster with another id. The mirror continues, since it has copied that source until then. A new
// mirror does not take the target for its own.
func TestSourceRestoredRenamed(t *testing.T) {
	from := etcdtest.Start(t, etcdtest.Options{})
	source, target := clienttest.Dial(
		t,
		from.Endpoints()...), clienttest.Dial(
		t,
		etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	ctx := clienttest.Within(t, 4*clienttest.Long)
	r := start(t, source, target)
	r.reach(put(t, source, "kept", "1"))
	snapshot, err := source.SnapshotWithVersion(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(snapshot.Snapshot)
	file := filepath.Join(t.TempDir(), "backup.db")
	if err := errors.Join(err, snapshot.Snapshot.Close(), os.WriteFile(file, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	put(t, source, "kept", "2")
	r.reach(put(t, source, "lost", ""))
	if err := from.RestoreSnapshot(ctx, file, from.Token()+"-restored"); err != nil {
		t.Fatal(err)
	}
	for r.last.Comparisons < 2 {
		r.reach(0)
	}
	r.reach(put(t, source, "new", ""))
	r.stop()
	sameWhole(t, source, target)
	r = start(t, source, target) // the target's checkpoint names the new cluster
	r.reach(put(t, source, "newer", ""))
	r.stop()
	if err := from.RestoreSnapshot(ctx, file, from.Token()+"-again"); err != nil {
		t.Fatal(err)
	}
	if err := mirror.Run(ctx, source, target); !errors.Is(err, mirror.ErrTargetNotEmpty) {
		t.Errorf("a new mirror: %v", err)
	}
}
