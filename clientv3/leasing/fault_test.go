package leasing_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

// TestReadsFromMemoryEndInTimeWhileFrozen: reads of owned keys are answered while the lease is
// certainly held, and not a moment longer; all other calls return when their context ends.
func TestReadsFromMemoryEndInTimeWhileFrozen(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	const ttl = 3 * time.Second
	s := leased(t, c.Endpoints(), "L/", concurrency.WithTTL(int(ttl/time.Second)))
	s.put(t, "k", "v")
	s.owns(t, "k")
	if err := c.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	if got := s.get(t, "k"); got != "v" {
		t.Errorf("read %q", got)
	}
	for name, call := range map[string]func(context.Context) error{
		"get":    func(ctx context.Context) error { _, err := s.Get(ctx, "other"); return err },
		"range":  func(ctx context.Context) error { _, err := s.Get(ctx, "k", clientv3.WithPrefix()); return err },
		"put":    func(ctx context.Context) error { _, err := s.Put(ctx, "other", ""); return err },
		"delete": func(ctx context.Context) error { _, err := s.Delete(ctx, "p", clientv3.WithPrefix()); return err },
		"txn": func(ctx context.Context) error {
			_, err := s.Txn(ctx).Then(clientv3.OpPut("other", "")).Commit()
			return err
		},
		"read-only txn": func(ctx context.Context) error {
			_, err := s.Txn(ctx).Then(clientv3.OpGet("other")).Commit()
			return err
		},
	} {
		returns(t, name, call)
	}
	for {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, err := s.Get(ctx, "k")
		cancel()
		if err != nil {
			t.Logf("answered until %v after the cluster froze", began.Sub(frozen))
			break
		}
		if began.Sub(frozen) > ttl {
			t.Fatalf("answered from memory %v after the cluster froze", began.Sub(frozen))
		}
	}
	// Closing ends although the server does not answer.
	began := time.Now()
	s.close()
	if took := time.Since(began); took > 2*time.Second+soon {
		t.Errorf("closing took %v", took)
	}
}

// returns asserts that f ends soon after its context does, with its error.
func returns(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	const d = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	began := time.Now()
	if err := f(ctx); err != context.DeadlineExceeded {
		t.Errorf("%s: %v", what, err)
	}
	if took := time.Since(began); took > d+soon {
		t.Errorf("%s returned after %v", what, took)
	} else {
		t.Logf("%s returned %v after its context's end", what, took-d)
	}
}

// slowStream holds back what is received on a stream for a moment.
type slowStream struct{ grpc.ClientStream }

func (s slowStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	time.Sleep(300 * time.Millisecond) // the fault itself, not a condition to wait for
	return err
}

// TestOwnedFromTheFirstRead: what is read right after NewKV is answered while etcd is down, also if
// the first renewal is answered slowly.
func TestOwnedFromTheFirstRead(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	slow := grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
		method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := streamer(ctx, desc, cc, method, opts...)
		if method == pb.Lease_LeaseKeepAlive_FullMethodName {
			s = slowStream{s}
		}
		return s, err
	})
	cl, err := clientv3.New(clientv3.Config{
		Endpoints: c.Endpoints(), Logger: zap.NewNop(), DialOptions: []grpc.DialOption{slow},
	})
	clienttest.OK(t, "New", err)
	defer cl.Close()
	kv, closeKV, err := leasing.NewKV(cl, "L/")
	clienttest.OK(t, "NewKV", err)
	defer closeKV()
	_, err = kv.Get(within(t), "k")
	clienttest.OK(t, "Get", err)
	clienttest.Await(t, "a renewal", func() bool { return relapse.Streams(cl.Lease) > 0 })
	c.Members()[0].Kill()
	_, err = kv.Get(within(t), "k")
	clienttest.OK(t, "Get while etcd is down", err)
}

// TestNewKVIsBounded: NewKV waits no longer than its context.
func TestNewKVIsBounded(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	cl := dial(t, c.Endpoints())
	if err := c.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	returns(t, "NewKV", func(ctx context.Context) error {
		_, _, err := leasing.NewKV(cl, "L/", concurrency.WithContext(ctx))
		return err
	})
}

// TestLostFromOutside: an owner notices when another client takes its ownership away, and owns the
// key again.
func TestLostFromOutside(t *testing.T) {
	raw := shared(t)
	for name, take := range map[string]func(lk string, id clientv3.LeaseID) error{
		"lease revoked": func(_ string, id clientv3.LeaseID) error {
			_, err := raw.Revoke(within(t), id)
			return err
		},
		"leasing key deleted": func(lk string, _ clientv3.LeaseID) error {
			_, err := raw.Delete(within(t), lk)
			return err
		},
		"leasing key replaced": func(lk string, _ clientv3.LeaseID) error {
			g, err := raw.Grant(within(t), 60)
			if err == nil {
				_, err = raw.Txn(within(t)).Then(clientv3.OpDelete(lk)).Commit()
			}
			if err == nil {
				_, err = raw.Put(within(t), lk, "", clientv3.WithLease(g.ID))
			}
			time.AfterFunc(300*time.Millisecond, func() { raw.Revoke(context.Background(), g.ID) })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			pfx := "L-" + t.Name() + "/"
			a := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
			b := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
			key := t.Name()
			for i := range 3 {
				a.owns(t, key)
				r, err := raw.Get(within(t), pfx+key)
				if err != nil || len(r.Kvs) != 1 {
					t.Fatalf("%v, %v", r, err)
				}
				if err := take(pfx+key, clientv3.LeaseID(r.Kvs[0].Lease)); err != nil {
					t.Fatal(err)
				}
				value := fmt.Sprint(i)
				b.put(t, key, value)
				began := time.Now()
				clienttest.Await(t, "the owner knows", func() bool { return a.get(t, key) == value })
				t.Logf("the owner knew after %v", time.Since(began))
			}
			a.put(t, key, "own")
			if got := b.get(t, key); got != "own" {
				t.Errorf("read %q", got)
			}
		})
	}
}

// TestWriteWithoutAnswer: an owner serves no old value after a write of its own whose answer is
// lost, or that is executed late.
func TestWriteWithoutAnswer(t *testing.T) {
	raw := shared(t)
	pfx := "L-" + t.Name() + "/"
	for _, late := range []string{"never", "at once", "released", "owned again"} {
		t.Run(late, func(t *testing.T) {
			s := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
			key := t.Name()
			s.put(t, key, "old")
			s.owns(t, key)
			var execute func()
			var lost meddler = func(
				ctx context.Context, op clientv3.Op, next func(context.Context) (clientv3.OpResponse, error),
			) (clientv3.OpResponse, error) {
				s.calls.meddle.Store(nil)
				execute = func() { next(within(t)) }
				if late == "at once" {
					execute()
				}
				return clientv3.OpResponse{}, context.DeadlineExceeded
			}
			s.calls.meddle.Store(&lost)
			if _, err := s.Put(within(t), key, "new"); err != context.DeadlineExceeded {
				t.Fatal(err)
			}
			if s.local(func() { s.get(t, key) }) {
				t.Error("read from memory after a write without an answer")
			}
			switch late {
			case "released":
				clienttest.Await(t, "released", func() bool {
					r, err := raw.Get(within(t), pfx+key)
					return err == nil && len(r.Kvs) == 0
				})
				execute()
			case "owned again":
				s.owns(t, key)
				execute()
			}
			want := "old"
			if late == "at once" {
				want = "new"
			}
			r, err := raw.Get(within(t), key)
			if err != nil || string(r.Kvs[0].Value) != want {
				t.Errorf("the cluster has %v, %v, want %q", r, err, want)
			}
			for range 2 {
				if got := s.get(t, key); got != want {
					t.Errorf("read %q, want %q", got, want)
				}
				s.owns(t, key)
			}
		})
	}
}

// TestAcquireWithoutAnswer: a leasing key is deleted if its request was given up before it was
// executed.
func TestAcquireWithoutAnswer(t *testing.T) {
	raw := shared(t)
	pfx := "L-" + t.Name() + "/"
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) {
			s := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
			key := t.Name()
			var execute func()
			var lost meddler = func(
				ctx context.Context, op clientv3.Op, next func(context.Context) (clientv3.OpResponse, error),
			) (clientv3.OpResponse, error) {
				s.calls.meddle.Store(nil)
				execute = func() {
					if r, err := next(within(t)); err != nil || !r.Txn().Succeeded {
						t.Errorf("%v, %v", r.Txn(), err)
					}
				}
				if !late {
					execute()
				}
				return clientv3.OpResponse{}, context.DeadlineExceeded
			}
			s.calls.meddle.Store(&lost)
			s.get(t, key) // a read that succeeds nevertheless
			if late {
				execute()
			}
			clienttest.Await(t, "removal of the leasing key", func() bool {
				r, err := raw.Get(within(t), pfx+key)
				return err == nil && len(r.Kvs) == 0
			})
			s.owns(t, key)
		})
	}
}

// TestBehindTheWatch: requests for keys that came while the watch was cut off, and were compacted,
// are found afterwards.
func TestBehindTheWatch(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	direct := []string{c.Members()[0].Direct}
	raw := dial(t, direct)
	a := leased(t, c.Endpoints(), "L/")
	b := leased(t, direct, "L/")
	for _, key := range []string{"asked", "deleted", "kept"} {
		a.put(t, key, "old")
		a.owns(t, key)
	}
	kept, err := raw.Get(within(t), "L/kept")
	clienttest.OK(t, "Get", err)
	proxy := c.Members()[0].Proxy()
	proxy.Cut()
	done := make(chan error, 1)
	go func() {
		_, err := b.Put(within(t), "asked", "new")
		done <- err
	}()
	clienttest.Await(t, "the other one asks", func() bool {
		r, err := raw.Get(within(t), "L/asked")
		return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == "REVOKE"
	})
	if _, err := raw.Delete(within(t), "L/deleted"); err != nil {
		t.Fatal(err)
	}
	b.put(t, "deleted", "new")
	r, err := raw.Put(within(t), "x", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Compact(within(t), r.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"asked": "new", "deleted": "new", "kept": "old"} {
		clienttest.Await(t, key, func() bool { return a.get(t, key) == want })
	}
	// It is read again, since the connection is another.
	clienttest.Await(t, "kept from memory", func() bool { return a.local(func() { a.get(t, "kept") }) })
	if r, err := raw.Get(within(t), "L/kept"); err != nil || len(r.Kvs) != 1 ||
		r.Kvs[0].ModRevision != kept.Kvs[0].ModRevision {
		t.Errorf("a key that nobody asked for was given up: %v, %v", r, err)
	}
	a.owns(t, "asked")
}

// TestContextOfTheSession: when it ends, reads go on, but not from memory.
func TestContextOfTheSession(t *testing.T) {
	shared(t)
	ctx, cancel := context.WithCancel(context.Background())
	s := leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/", concurrency.WithContext(ctx))
	key := t.Name()
	s.owns(t, key)
	cancel()
	clienttest.Await(t, "the end of the ownership", func() bool { return !s.local(func() { s.get(t, key) }) })
	s.put(t, key, "x", clientv3.WithPrevKV())
	if got := s.get(t, key); got != "x" {
		t.Errorf("read %q", got)
	}
}

// TestReadDuringOwnWrite: once anybody can have seen the value that the owner is writing, the owner
// does not read the old one, even before it has the answer to its write.
func TestReadDuringOwnWrite(t *testing.T) {
	shared(t)
	pfx := "L-" + t.Name() + "/"
	a := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	b := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	key := t.Name()
	a.put(t, key, "old")
	a.owns(t, key)
	executed, answer := make(chan struct{}), make(chan struct{})
	var slow meddler = func(
		ctx context.Context, op clientv3.Op, next func(context.Context) (clientv3.OpResponse, error),
	) (clientv3.OpResponse, error) {
		a.calls.meddle.Store(nil)
		r, err := next(ctx)
		close(executed)
		<-answer
		return r, err
	}
	a.calls.meddle.Store(&slow)
	done := make(chan error, 1)
	go func() {
		_, err := a.Put(within(t), key, "new")
		done <- err
	}()
	<-executed
	for name, s := range map[string]*side{"another": b, "the owner": a} {
		if got := s.get(t, key); got != "new" {
			t.Errorf("%s reads %q", name, got)
		}
	}
	close(answer)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !a.local(func() {
		if got := a.get(t, key); got != "new" {
			t.Errorf("the owner reads %q", got)
		}
	}) {
		t.Error("the owner lost the key by writing it")
	}
}

// TestStopsBeforeItGivesBack: when others learn that they may write a key, its former owner does
// not read it from memory any more.
func TestStopsBeforeItGivesBack(t *testing.T) {
	shared(t)
	pfx := "L-" + t.Name() + "/"
	a := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	b := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	key := t.Name()
	a.put(t, key, "old")
	a.owns(t, key)
	looked := make(chan bool, 1)
	var look meddler = func(
		ctx context.Context, op clientv3.Op, next func(context.Context) (clientv3.OpResponse, error),
	) (clientv3.OpResponse, error) {
		a.calls.meddle.Store(nil) // the first call gives the key up
		looked <- a.local(func() { a.get(t, key) })
		return next(ctx)
	}
	a.calls.meddle.Store(&look)
	b.put(t, key, "new")
	if <-looked {
		t.Error("read from memory while the leasing key was deleted")
	}
	if got := a.get(t, key); got != "new" {
		t.Errorf("read %q", got)
	}
}

// TestSilentMemberHindersNoRead: a read whose member is silent cannot take ownership, but another
// member answers it.
func TestSilentMemberHindersNoRead(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	s := leased(t, c.Endpoints(), "L/")
	s.put(t, "k", "v")
	if err := c.Followers(t)[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		if _, err := s.Get(ctx, fmt.Sprint("other", i)); err != nil {
			t.Errorf("read %d: %v", i, err)
		}
		cancel()
	}
	if got := s.get(t, "k"); got != "v" {
		t.Errorf("read %q", got)
	}
}
