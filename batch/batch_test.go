package batch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func put(t testing.TB, kv clientv3.KV, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if _, err := kv.Put(clienttest.Within(t, clienttest.Long), k, "value of "+k); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever is asked for, the answer is that of the client below.
func TestSameAnswers(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c, m := counted(t)
	kv := batch.NewKV(c)
	ctx := clienttest.Within(t, clienttest.Long)
	key := func(i int) string { return fmt.Sprintf("%s/%02d", t.Name(), i) }
	for i := range 20 {
		put(t, c, key(i))
	}
	put(t, c, key(3), key(3), key(7))
	now, err := c.Get(ctx, key(0))
	if err != nil {
		t.Fatal(err)
	}
	rev := now.Header.Revision
	options := []func() clientv3.OpOption{
		clientv3.WithSerializable, clientv3.WithKeysOnly, clientv3.WithCountOnly, clientv3.WithPrefix,
		func() clientv3.OpOption { return clientv3.WithLimit(rand.Int64N(3)) },
		func() clientv3.OpOption { return clientv3.WithRev(rev - rand.Int64N(10)) },
		func() clientv3.OpOption { return clientv3.WithMinModRev(rev - rand.Int64N(10)) },
		func() clientv3.OpOption { return clientv3.WithMaxCreateRev(rev - rand.Int64N(10)) },
		func() clientv3.OpOption { return clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend) },
		func() clientv3.OpOption { return nil },
	}
	crowd(100, func(int) {
		for range 10 {
			k := key(rand.IntN(25)) // some do not exist
			var opts []clientv3.OpOption
			for range rand.IntN(3) {
				opts = append(opts, options[rand.IntN(len(options))]())
			}
			want, err := c.Get(ctx, k, opts...)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := kv.Get(ctx, k, opts...)
			if err != nil || !proto.Equal((*pb.RangeResponse)(got), (*pb.RangeResponse)(want)) {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
			r, err := kv.Do(ctx, clientv3.OpGet(k, opts...))
			if err != nil || !proto.Equal((*pb.RangeResponse)(r.Get()), (*pb.RangeResponse)(want)) {
				t.Errorf("Do: %v, %v, want %v", r.Get(), err, want)
			}
		}
	})
	if m.of("KV.Txn") == 0 {
		t.Error("nothing travelled together")
	}
}

// Operations that do not travel together work as without the package.
func TestOtherOperationsGoAlone(t *testing.T) {
	c := clienttest.Shared(t)
	kv := batch.NewKV(c, nil)
	ctx := clienttest.Within(t, clienttest.Long)
	put(t, kv, t.Name()+"/1", t.Name()+"/2")
	if r, err := kv.Get(ctx, t.Name(), clientv3.WithPrefix()); err != nil || len(r.Kvs) != 2 {
		t.Errorf("range: %v, %v", r, err)
	}
	if r, err := kv.Delete(ctx, t.Name(), clientv3.WithPrefix()); err != nil || r.Deleted != 2 {
		t.Errorf("delete: %v, %v", r, err)
	}
	if r, err := kv.Txn(ctx).Then(clientv3.OpPut(t.Name(), "v"), clientv3.OpGet(t.Name())).Commit(); err != nil ||
		!r.Succeeded {
		t.Errorf("transaction: %v, %v", r, err)
	}
	if r, err := kv.Do(ctx, clientv3.OpPut(t.Name(), "w")); err != nil || r.Put() == nil {
		t.Errorf("do: %v, %v", r, err)
	}
	if _, err := kv.Get(ctx, ""); err != rpctypes.ErrEmptyKey {
		t.Errorf("empty key: %v", err)
	}
	if _, err := kv.Get(clientv3.WithRequireLeader(ctx), t.Name()); err != nil {
		t.Errorf("with metadata: %v", err)
	}
	var nilCtx context.Context
	if _, err := kv.Get(nilCtx, t.Name()); err == nil {
		t.Error("without a context: no error")
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := kv.Get(over, t.Name()); err != context.Canceled {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// Reads gather while others are under way, each kind by itself.
func TestReadsGatherWhileOthersAreUnderWay(t *testing.T) {
	etcdtest.CheckLeaks(t)
	g := newGate(clienttest.Shared(t))
	kv := batch.NewKV(g)
	ctx := clienttest.Within(t, clienttest.Long)
	done := make(chan error, 400)
	ask := func(n int, opts ...clientv3.OpOption) {
		for range n {
			go func() { _, err := kv.Get(ctx, t.Name(), opts...); done <- err }()
		}
	}
	first := func(n int) {
		clienttest.Await(t, "the first reads are under way", func() bool { return len(g.sizes()) >= n })
	}
	ask(2)
	first(2)
	ask(2, clientv3.WithSerializable())
	first(4)
	if sizes := g.sizes(); !slices.Equal(sizes, []int{0, 0, 0, 0}) {
		t.Fatalf("the first reads do not go alone: %v", sizes)
	}
	ask(300)
	ask(60, clientv3.WithSerializable())
	g.Open()
	for range 364 {
		if err := clienttest.Receive(t, "an answer", done); err != nil {
			t.Error(err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	together := 0
	for _, op := range g.ops {
		_, then, _ := op.Txn()
		if len(then) > 128 {
			t.Errorf("%d in one transaction", len(then))
		}
		together += len(then)
		for i := range then {
			if then[i].IsSerializable() != then[0].IsSerializable() {
				t.Error("linearizable and serializable reads in one transaction")
			}
		}
	}
	if together < 180 {
		t.Errorf("of 360 reads that waited, %d travelled together", together)
	}
}

// A caller leaves when its context ends; the others get their answers. When all have left,
// the transaction is given up.
func TestCallersLeaveWhenTheirContextsEnd(t *testing.T) {
	etcdtest.CheckLeaks(t)
	g := newGate(clienttest.Shared(t))
	kv := batch.NewKV(g)
	ctx := clienttest.Within(t, clienttest.Long)
	impatient, leave := context.WithCancel(ctx)
	done, left := make(chan error, 10), make(chan error, 10)
	ask := func(ctx context.Context, n int, name string, to chan error) {
		for i := range n {
			go func() { _, err := kv.Get(ctx, fmt.Sprint(t.Name(), name, i)); to <- err }()
		}
		clienttest.Await(t, "all are under way", func() bool { return g.saw(t.Name()+name) == n })
	}
	ask(ctx, 4, "stays", done) // two go alone, two travel together
	ask(impatient, 5, "leaves", left)
	leave()
	for range 5 {
		if err := clienttest.Receive(t, "the one that leaves", left); err != context.Canceled {
			t.Error(err)
		}
	}
	clienttest.Await(t, "a transaction that nobody waits for is given up", func() bool { return g.endings() >= 1 })
	select {
	case err := <-done:
		t.Errorf("another read ended: %v", err)
	default:
	}
	g.Open()
	for range 4 {
		if err := clienttest.Receive(t, "the ones that stay", done); err != nil {
			t.Error(err)
		}
	}
	if _, err := kv.Get(ctx, t.Name()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A write that was acknowledged before a read began is seen by it.
func TestLinearizableReadsSeeAcknowledgedWrites(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := clienttest.Dial(t, cl.Endpoints()...)
	kv := batch.NewKV(c, batch.WithWrites())
	ctx := clienttest.Within(t, 3*clienttest.Long)
	const writes, readers = 200, 64
	var acked atomic.Int64 // the revision of the latest acknowledged write
	var over atomic.Bool
	put(t, c, "k")
	finished := make(chan error, 1)
	go func() {
		defer over.Store(true)
		for range writes {
			r, err := kv.Put(ctx, "k", "v")
			if err != nil {
				finished <- err
				return
			}
			acked.Store(r.Header.Revision)
		}
		finished <- nil
	}()
	crowd(readers, func(int) {
		last := int64(0)
		for !over.Load() {
			least := max(acked.Load(), last)
			r, err := kv.Get(ctx, "k")
			if err != nil {
				t.Error(err)
				return
			}
			if last = r.Kvs[0].ModRevision; last < least {
				t.Errorf("read revision %d after %d was acknowledged", last, least)
				return
			}
		}
	})
	if err := <-finished; err != nil {
		t.Error(err)
	}
}

// A server may allow fewer operations in a transaction; no caller notices.
func TestServerWithFewOperationsInATransaction(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Args: []string{"--max-txn-ops=10"}})
	m := &methods{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: clientv3.Hooks{Attempt: m.count}})
	kv := batch.NewKV(c, batch.WithWrites())
	ctx := clienttest.Within(t, clienttest.Long)
	rounds := func(n int) {
		crowd(200, func(i int) {
			for range n {
				if _, err := kv.Put(ctx, fmt.Sprint("k", i), "v"); err != nil {
					t.Error(err)
				}
				if r, err := kv.Get(ctx, fmt.Sprint("k", i)); err != nil || len(r.Kvs) != 1 {
					t.Errorf("%v, %v", r, err)
				}
			}
		})
	}
	rounds(5) // it learns
	singly := m.of("KV.Range")
	rounds(5)
	if more := m.of("KV.Range") - singly; more > 500 {
		t.Errorf("of 1000 reads, %d travelled alone", more)
	}
}

// A server of an older version executes such transactions too.
func TestOldServer(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Version: "3.5"})
	m := &methods{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: clientv3.Hooks{Attempt: m.count}})
	kv := batch.NewKV(c, batch.WithWrites())
	ctx := clienttest.Within(t, clienttest.Long)
	crowd(200, func(i int) {
		k := fmt.Sprint("k", i)
		if _, err := kv.Put(ctx, k, "v"); err != nil {
			t.Error(err)
		}
		if r, err := kv.Get(ctx, k); err != nil || len(r.Kvs) != 1 || r.Header.MemberId == 0 ||
			r.Header.Revision < r.Kvs[0].ModRevision {
			t.Errorf("%v, %v", r, err)
		}
	})
	if m.of("KV.Txn") == 0 {
		t.Error("nothing travelled together")
	}
}
