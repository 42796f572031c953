package leasing_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestConcurrentReadsFindAcknowledgedWrites: with many goroutines on both sides, a read finds at
// least the writes that were acknowledged before it began.
func TestConcurrentReadsFindAcknowledgedWrites(t *testing.T) {
	shared(t)
	pfx := "L-" + t.Name() + "/"
	key := t.Name()
	ctx, cancel := context.WithCancel(within(t))
	var (
		acked   atomic.Int64
		readers sync.WaitGroup
		writers sync.WaitGroup
		turn    sync.Mutex
	)
	const writes = 100
	for range 2 {
		s := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
		for range 4 {
			readers.Go(func() {
				for ctx.Err() == nil {
					least := acked.Load()
					r, err := s.Get(ctx, key)
					if err != nil {
						if ctx.Err() == nil {
							t.Error(err)
						}
						return
					}
					found := int64(0)
					if len(r.Kvs) > 0 {
						found, _ = strconv.ParseInt(string(r.Kvs[0].Value), 10, 64)
					}
					if found < least {
						t.Errorf("read %d after %d was acknowledged", found, least)
						return
					}
				}
			})
		}
		for i := range 2 {
			writers.Go(func() {
				for range writes {
					turn.Lock()
					value := acked.Load() + 1
					var err error
					if i == 0 {
						_, err = s.Put(ctx, key, fmt.Sprint(value))
					} else {
						_, err = s.Txn(ctx).Then(clientv3.OpPut(key, fmt.Sprint(value))).Commit()
					}
					if err == nil {
						acked.Store(value)
					}
					turn.Unlock()
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	writers.Wait()
	cancel()
	readers.Wait()
}

// TestKeysThatDoNotFitAreGivenUp: keys that do not fit are given up, and can still be read.
func TestKeysThatDoNotFitAreGivenUp(t *testing.T) {
	const n, size = 70, 1 << 20 // 64 MiB are kept
	c := etcdtest.Start(t, etcdtest.Options{})
	raw := dial(t, c.Endpoints())
	s := leased(t, c.Endpoints(), "L/")
	value := strings.Repeat("x", size)
	for i := range n {
		key := fmt.Sprint(i)
		s.put(t, key, key+value)
		if s.get(t, key) != key+value {
			t.Fatal("not what was written")
		}
	}
	clienttest.Await(t, "leasing keys given back", func() bool {
		r, err := raw.Get(within(t), "L/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && r.Count < 64 && r.Count > 55
	})
	for i := range n {
		if key := fmt.Sprint(i); s.get(t, key) != key+value {
			t.Errorf("%s is not what was written", key)
		}
	}
}

// TestInNamespace: leasing works over a client in a namespace, and all its keys stay there.
func TestInNamespace(t *testing.T) {
	raw := shared(t)
	cl := dial(t, etcdtest.Shared(t).Endpoints())
	space := t.Name() + "/"
	cl.Lease = namespace.NewLease(cl.Lease, space)
	cl.Watcher = namespace.NewWatcher(cl.Watcher, space)
	calls := &counter{KV: namespace.NewKV(cl.KV, space)}
	cl.KV = calls
	kv, closeKV, err := leasing.NewKV(cl, "L/")
	if err != nil {
		t.Fatal(err)
	}
	defer closeKV()
	s := &side{KV: kv, cl: cl, calls: calls}
	s.put(t, "k", "v")
	s.owns(t, "k")
	if r, err := raw.Get(within(t), space+"L/k"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("the leasing key: %v, %v", r, err)
	}
}

// TestTxnThatFindsNothingToWriteComesFromMemory: writes of the branch that is not taken do not
// matter; comparisons and reads of keys that are not owned do.
func TestTxnThatFindsNothingToWriteComesFromMemory(t *testing.T) {
	raw := shared(t)
	s := leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/")
	key, foreign := t.Name()+"/own", t.Name()+"/foreign"
	s.put(t, key, "1")
	s.owns(t, key)
	is := func(v string) clientv3.Cmp { return clientv3.Compare(clientv3.Value(key), "=", v) }
	get, put := clientv3.OpGet(key), clientv3.OpPut(key, "2")
	type ops = []clientv3.Op
	for _, c := range []struct {
		name             string
		local, succeeded bool
		cmp              clientv3.Cmp
		then, otherwise  ops
	}{
		{"read, else write", true, true, is("1"), ops{get}, ops{put}},
		{"read, else write and delete others", true, true, is("1"), ops{get}, ops{
			put, clientv3.OpPut(foreign, "2"), clientv3.OpDelete(key + "x"),
		}},
		{"read, else write here or there", true, true, is("1"), ops{get}, ops{clientv3.OpTxn(nil, ops{put}, ops{put})}},
		{"write, else read", true, false, is("x"), ops{put}, ops{get}},
		{"write, else nothing", true, false, is("x"), ops{put}, nil},
		{"nested", true, true, is("1"), ops{clientv3.OpTxn([]clientv3.Cmp{is("x")}, ops{put}, ops{get})}, nil},
		{"read another, else write", false, true, is("1"), ops{clientv3.OpGet(foreign)}, ops{put}},
		{"compare another", false, true, clientv3.Compare(clientv3.Version(foreign), "=", 0), ops{get}, ops{put}},
		{"read a range", false, true, is("1"), ops{clientv3.OpGet(t.Name(), clientv3.WithPrefix())}, ops{put}},
		{"write", false, true, is("1"), ops{put}, ops{get}},
	} {
		var r *clientv3.TxnResponse
		local := s.local(func() {
			var err error
			if r, err = s.Txn(within(t)).If(c.cmp).Then(c.then...).Else(c.otherwise...).Commit(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		})
		if local != c.local || r.Succeeded != c.succeeded {
			t.Errorf("%s: from memory: %v, succeeded: %v", c.name, local, r.Succeeded)
		}
	}
	if !s.local(func() {
		if r, err := s.Txn(within(t)).Else(put).Commit(); err != nil || !r.Succeeded || len(r.Responses) > 0 {
			t.Errorf("nothing to compare and nothing to read: %v, %v", r, err)
		}
	}) {
		t.Error("nothing to compare and nothing to read: not from memory")
	}
	for _, kv := range []clientv3.KV{s, raw} {
		if r, err := kv.Get(within(t), key); err != nil || string(r.Kvs[0].Value) != "2" ||
			r.Kvs[0].Version != 2 {
			t.Errorf("written other than once: %v, %v", r, err)
		}
	}
	_, err := s.Txn(within(t)).If(is("x")).Then(clientv3.OpPut("L-"+t.Name()+"/x", "")).Commit()
	if err != leasing.ErrLeasingKey {
		t.Errorf("a leasing key in the branch not taken: %v", err)
	}
}

// TestRevisionsFromMemoryDoNotGoBack: an answer from memory has the newest revision that the owner
// knows, even if its key was written earlier.
func TestRevisionsFromMemoryDoNotGoBack(t *testing.T) {
	shared(t)
	s := leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/")
	older, newer := t.Name()+"/1", t.Name()+"/2"
	s.put(t, older, "1")
	s.owns(t, older)
	s.owns(t, newer)
	put, err := s.Put(within(t), newer, "1")
	if err != nil {
		t.Fatal(err)
	}
	var get *clientv3.GetResponse
	var txn *clientv3.TxnResponse
	local := s.local(func() {
		if get, err = s.Get(within(t), older); err != nil {
			t.Fatal(err)
		}
		txn, err = s.Txn(within(t)).If(clientv3.Compare(clientv3.Version(older), "=", 1)).Commit()
		if err != nil {
			t.Fatal(err)
		}
	})
	if !local || get.Header.Revision < put.Header.Revision || txn.Header.Revision < put.Header.Revision {
		t.Errorf(
			"from memory: %v; revisions %d and %d, before it %d",
			local,
			get.Header.Revision,
			txn.Header.Revision,
			put.Header.Revision,
		)
	}
}
