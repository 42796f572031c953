package batch_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// A caller who lacks the permission for a key gets that error, and no other caller does.
func TestErrorsReachTheirOwnCallersOnly(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	root := clienttest.Dial(t, cl.Endpoints()...)
	ctx := clienttest.Within(t, clienttest.Long)
	for _, step := range []func() error{
		func() error { _, err := root.UserAdd(ctx, "root", "root"); return err },
		func() error { _, err := root.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := root.RoleAdd(ctx, "app"); return err },
		func() error {
			_, err := root.RoleGrantPermission(ctx, "app", "mine/", clientv3.GetPrefixRangeEnd("mine/"),
				clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := root.UserAdd(ctx, "user", "pass"); return err },
		func() error { _, err := root.UserGrantRole(ctx, "user", "app"); return err },
		func() error { _, err := root.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	m := &methods{}
	c := dial(
		t,
		clientv3.Config{
			Endpoints: cl.Endpoints(),
			Username:  "user",
			Password:  "pass",
			Hooks:     clientv3.Hooks{Attempt: m.count},
		},
	)
	kv := batch.NewKV(c, batch.WithWrites())
	rounds := func(n int) {
		crowd(100, func(i int) {
			for range n {
				if i%25 == 0 {
					if _, err := kv.Get(ctx, fmt.Sprint("theirs/", i)); err != rpctypes.ErrPermissionDenied {
						t.Errorf("reading another's key: %v", err)
					}
					if _, err := kv.Put(ctx, fmt.Sprint("theirs/", i), "v"); err != rpctypes.ErrPermissionDenied {
						t.Errorf("writing another's key: %v", err)
					}
					continue
				}
				if _, err := kv.Put(ctx, fmt.Sprint("mine/", i), "v"); err != nil {
					t.Errorf("writing its own key: %v", err)
				}
				if r, err := kv.Get(ctx, fmt.Sprint("mine/", i)); err != nil || len(r.Kvs) != 1 {
					t.Errorf("reading its own key: %v, %v", r, err)
				}
			}
		})
	}
	rounds(5)
	singly := m.of("KV.Range")
	rounds(10)
	if more := m.of("KV.Range") - singly; more > 500 {
		t.Errorf("refused keys keep spoiling transactions: of 960 reads, %d travelled alone", more)
	}
}

// Without a quorum serializable reads are answered, and linearizable ones wait for it.
func TestLinearizableReadsWaitForTheQuorum(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	left := cl.Members()[0]
	c := clienttest.Dial(t, left.Endpoint)
	kv := batch.NewKV(c)
	put(t, c, "k")
	for _, m := range cl.Members()[1:] {
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := clienttest.Within(t, clienttest.Long)
	waiting, stop := context.WithCancel(ctx)
	var answered atomic.Int32
	ended := make(chan error, 1)
	go func() {
		crowd(50, func(int) {
			if _, err := kv.Get(waiting, "k"); err == nil {
				answered.Add(1)
			}
		})
		ended <- nil
	}()
	crowd(50, func(int) {
		for range 5 {
			if r, err := kv.Get(ctx, "k", clientv3.WithSerializable()); err != nil || len(r.Kvs) != 1 {
				t.Errorf("serializable: %v, %v", r, err)
			}
		}
	})
	if n := answered.Load(); n > 0 {
		t.Errorf("%d linearizable reads were answered without a quorum", n)
	}
	began := time.Now()
	stop()
	clienttest.Receive(t, "the end of the reads that wait", ended)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("they took %v to notice the end of their context", took)
	}
}

// When no member is there, each read waits or fails at once, as its own context says.
func TestReadsWithoutAMemberEndWithTheirContexts(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cl.Endpoints()...)
	g := newGate(c)
	kv := batch.NewKV(g)
	put(t, c, "k")
	proxy := cl.Members()[0].Proxy()
	proxy.Cut()
	clienttest.Await(t, "the loss is noticed", func() bool { return c.MemberStates()[0].State == "connecting" })
	ctx := clienttest.Within(t, clienttest.Long)
	patient, fast := make(chan error, 20), make(chan error, 20)
	for range 20 {
		go func() { _, err := kv.Get(ctx, "k"); patient <- err }()
		go func() { _, err := kv.Get(clientv3.WithFailFast(ctx), "k"); fast <- err }()
	}
	clienttest.Await(t, "some travel together", func() bool {
		for _, n := range g.sizes() {
			if n > 1 {
				return true
			}
		}
		return false
	})
	g.Open()
	for range 20 {
		if err := clienttest.Receive(t, "one that fails fast", fast); clientv3.Code(err) != codes.Unavailable {
			t.Errorf("fail-fast: %v", err)
		}
	}
	select {
	case err := <-patient:
		t.Errorf("a read that waits ended: %v", err)
	default:
	}
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := clienttest.Receive(t, "one that waits", patient); err != nil {
			t.Error(err)
		}
	}
}

// Writes that travelled together share a revision; a key is written once in each transaction.
func TestWrites(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := clienttest.Shared(t)
	g := newGate(c)
	kv := batch.NewKV(g, batch.WithWrites())
	ctx := clienttest.Within(t, clienttest.Long)
	type result struct {
		rev int64
		err error
	}
	done := make(chan result, 400)
	write := func(n int) {
		for i := range n {
			go func() {
				r, err := kv.Put(ctx, fmt.Sprintf("%s/%d", t.Name(), i%100), "v")
				if err != nil {
					done <- result{0, err}
					return
				}
				done <- result{r.Header.Revision, nil}
			}()
		}
	}
	write(300)
	clienttest.Await(t, "the first writes are on their way", func() bool { return len(g.sizes()) >= 3 })
	g.Open()
	revisions := make(map[int64]int)
	for range 300 {
		r := clienttest.Receive(t, "an answer", done)
		if r.err != nil {
			t.Fatal(r.err)
		}
		revisions[r.rev]++
	}
	if len(revisions) > 150 {
		t.Errorf("300 writes have %d revisions", len(revisions))
	}
	all, err := c.Get(ctx, t.Name(), clientv3.WithPrefix())
	if err != nil || len(all.Kvs) != 100 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, kv := range all.Kvs {
		if kv.Version != 3 {
			t.Errorf("%s was written %d times", kv.Key, kv.Version)
		}
	}
	var deleted atomic.Int64
	crowd(200, func(i int) {
		r, err := kv.Delete(ctx, fmt.Sprintf("%s/%d", t.Name(), i))
		if err != nil {
			t.Error(err)
			return
		}
		deleted.Add(r.Deleted)
	})
	if n := deleted.Load(); n != 100 {
		t.Errorf("%d of 100 were deleted", n)
	}
	if r, err := kv.Put(ctx, t.Name(), "v", clientv3.WithPrevKV()); err != nil || r.Header == nil {
		t.Errorf("with an option: %v, %v", r, err)
	}
}

// Writes whose answer is lost are not repeated: their outcome is unknown, and they were executed
// once. The client holds writes back as soon as no member answers (for 20 ms, say, on a quick
// server), so on a busy machine some may not have been sent when the connection ends; those succeed
// after it.
func TestWritesWithLostAnswersAreNotRepeated(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := &methods{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: clientv3.Hooks{Attempt: m.count}})
	g := newGate(c)
	kv := batch.NewKV(g, batch.WithWrites())
	put(t, c, "first")
	ctx := clienttest.Within(t, clienttest.Long)
	const n = 40
	done := make(chan error, n)
	for i := range n {
		go func() { _, err := kv.Put(ctx, fmt.Sprint("k", i), "v"); done <- err }()
	}
	clienttest.Await(t, "all are to be sent", func() bool { return g.saw("k") == n })
	proxy := cl.Members()[0].Proxy()
	proxy.BlackHole(faultnet.ToClient)
	g.Open()
	direct := clienttest.Dial(t, cl.Members()[0].Direct)
	clienttest.Await(t, "what was sent is written", func() bool {
		r, err := direct.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && r.Count > 0
	})
	proxy.Cut()
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for range n {
		switch err := clienttest.Receive(t, "an outcome", done); {
		case err == nil:
		case clientv3.OutcomeUnknown(err):
			lost++
		default:
			t.Error(err)
		}
	}
	r, err := direct.Get(ctx, "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if lost == 0 || len(r.Kvs) != n {
		t.Errorf("%d answers were lost, %d of %d are written", lost, len(r.Kvs), n)
	}
	for _, kv := range r.Kvs {
		if kv.Version != 1 {
			t.Errorf("%s was written %d times", kv.Key, kv.Version)
		}
	}
}

// A server may take smaller requests; no caller notices.
func TestServerWithSmallRequests(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Args: []string{"--max-request-bytes=200000"}})
	c := clienttest.Dial(t, cl.Endpoints()...)
	kv := batch.NewKV(c, batch.WithWrites())
	ctx := clienttest.Within(t, clienttest.Long)
	value := strings.Repeat("x", 8000)
	crowd(200, func(i int) {
		for range 3 {
			if _, err := kv.Put(ctx, fmt.Sprint("k", i), value); err != nil {
				t.Error(err)
			}
			if r, err := kv.Get(ctx, fmt.Sprint("k", i)); err != nil || len(r.Kvs) != 1 {
				t.Errorf("%v, %v", r, err)
			}
		}
	})
	if _, err := kv.Put(ctx, "k", strings.Repeat("x", 300000)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("a value that is too large: %v", err)
	}
}

// stuck is a KV whose first transaction is never answered.
type stuck struct {
	clientv3.KV
	used  atomic.Bool
	ended chan error // how the first transaction ended
}

func (s *stuck) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if op.IsTxn() && !s.used.Swap(true) {
		<-ctx.Done()
		s.ended <- ctx.Err()
		return clientv3.OpResponse{}, ctx.Err()
	}
	return s.KV.Do(ctx, op)
}

// Reads do not wait for a member that does not answer; they are sent a second time.
func TestReadsOfASilentMemberAreSentAgain(t *testing.T) {
	etcdtest.CheckLeaks(t)
	s := &stuck{KV: clienttest.Shared(t), ended: make(chan error, 1)}
	kv := batch.NewKV(s)
	ctx := clienttest.Within(t, clienttest.Long)
	put(t, s.KV, t.Name())
	crowd(100, func(int) {
		for range 5 {
			if r, err := kv.Get(ctx, t.Name()); err != nil || len(r.Kvs) != 1 {
				t.Errorf("%v, %v", r, err)
			}
		}
	})
	if err := clienttest.Receive(t, "the end of the first one", s.ended); err != context.Canceled {
		t.Error(err)
	}
}

// A frozen member makes no read fail that travelled with others.
func TestFrozenMemberFailsNoRead(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := clienttest.Dial(t, cl.Endpoints()...)
	kv := batch.NewKV(c)
	put(t, c, "k")
	var over atomic.Bool
	var after atomic.Int64 // reads since the member was frozen
	var frozen atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		crowd(64, func(int) {
			for !over.Load() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				_, err := kv.Get(ctx, "k")
				cancel()
				if err != nil {
					t.Error(err)
				}
				if frozen.Load() {
					after.Add(1)
				}
			}
		})
	}()
	if err := cl.Followers(t)[0].Freeze(); err != nil {
		t.Error(err)
	}
	frozen.Store(true)
	clienttest.Await(t, "reads go on", func() bool { return after.Load() > 5000 })
	over.Store(true)
	<-done
}
