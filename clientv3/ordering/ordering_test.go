package ordering_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/ordering"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// scripted is a KV whose answers have one revision after the other; the last one repeats.
type scripted struct {
	clientv3.KV
	revs  []int64
	calls atomic.Int64
}

func (s *scripted) Do(_ context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	n := min(int(s.calls.Add(1)), len(s.revs)) - 1
	h := &pb.ResponseHeader{Revision: s.revs[n]}
	switch {
	case op.IsPut():
		return (&clientv3.PutResponse{Header: h}).OpResponse(), nil
	case op.IsDelete():
		return (&clientv3.DeleteResponse{Header: h}).OpResponse(), nil
	case op.IsTxn():
		return (&clientv3.TxnResponse{Header: h}).OpResponse(), nil
	}
	return (&clientv3.GetResponse{Header: h}).OpResponse(), nil
}

func (s *scripted) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return &clientv3.GetResponse{}, nil // the read in between
}

func (s *scripted) Txn(ctx context.Context) clientv3.Txn { return &scriptedTxn{s: s} }

type scriptedTxn struct {
	clientv3.Txn
	s *scripted
}

func (t *scriptedTxn) Then(...clientv3.Op) clientv3.Txn { return t }

func (t *scriptedTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.s.Do(context.Background(), clientv3.OpTxn(nil, nil, nil))
	return r.Txn(), err
}

var errBehind = errors.New("behind")

func TestViolations(t *testing.T) {
	get, put, del := clientv3.OpGet("k"), clientv3.OpPut("k", ""), clientv3.OpDelete("k")
	readTxn := clientv3.OpTxn(nil, []clientv3.Op{get}, nil)
	writeTxn := clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpTxn(nil, nil, []clientv3.Op{put})}, nil)
	for _, test := range []struct {
		name  string
		first clientv3.Op // answered with revision 10
		then  clientv3.Op // answered with 5
		found bool
	}{
		{"get after get", get, get, true},
		{"get after put", put, get, true},
		{"get after delete", del, get, true},
		{"get after transaction", writeTxn, get, true},
		{"transaction after get", get, readTxn, true},
		{"put after get", get, put, false},
		{"delete after get", get, del, false},
		{"writing transaction after get", get, writeTxn, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &scripted{revs: []int64{10, 5}}
			kv := ordering.NewKV(s, func(_ clientv3.Op, r clientv3.OpResponse, prev int64) error {
				if prev != 10 || r.Get() == nil && r.Txn() == nil {
					t.Errorf("called with %v after %d", r, prev)
				}
				return errBehind
			})
			if _, err := kv.Do(clienttest.Within(t, clienttest.Long), test.first); err != nil {
				t.Fatal(err)
			}
			if _, err := kv.Do(clienttest.Within(t, clienttest.Long), test.then); (err == errBehind) != test.found {
				t.Errorf("%v", err)
			}
			if n := s.calls.Load(); n != 2 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestAskAgain(t *testing.T) {
	s := &scripted{revs: []int64{10, 5, 6, 11}}
	var called []int64
	kv := ordering.NewKV(s, func(_ clientv3.Op, r clientv3.OpResponse, prev int64) error {
		called = append(called, r.Get().Header.Revision)
		return nil
	})
	ctx := clienttest.Within(t, clienttest.Long)
	if _, err := kv.Put(ctx, "k", ""); err != nil {
		t.Fatal(err)
	}
	r, err := kv.Get(ctx, "k")
	if err != nil || r.Header.Revision != 11 {
		t.Errorf("%v, %v", r, err)
	}
	if fmt.Sprint(called) != "[5 6]" {
		t.Errorf("called with %v", called)
	}
}

func TestAskAgainTxn(t *testing.T) {
	s := &scripted{revs: []int64{10, 5, 10}}
	kv := ordering.NewKV(s, func(clientv3.Op, clientv3.OpResponse, int64) error { return nil })
	ctx := clienttest.Within(t, clienttest.Long)
	if _, err := kv.Get(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	r, err := kv.Txn(ctx).Then(clientv3.OpGet("k")).Commit()
	if err != nil || r.Header.Revision != 10 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestRepetitionsEndWithTheContext(t *testing.T) {
	kv := ordering.NewKV(&scripted{revs: []int64{10, 5}},
		func(clientv3.Op, clientv3.OpResponse, int64) error { return nil })
	if _, err := kv.Get(clienttest.Within(t, clienttest.Long), "k"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := kv.Get(clienttest.Within(t, 200*time.Millisecond), "k"); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	kv = ordering.NewKV(&scripted{revs: []int64{10, 5}}, nil)
	kv.Get(clienttest.Within(t, clienttest.Long), "k")
	if _, err := kv.Get(clienttest.Within(t, clienttest.Long), "k"); err != ordering.ErrNoGreaterRev {
		t.Errorf("without a function: %v", err)
	}
}

// TestLagsNowAndThen: each of many reads meets a member that lags, while another has the revision.
// They are no tries of one operation.
func TestLagsNowAndThen(t *testing.T) {
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	ctx := clienttest.Within(t, clienttest.Long)
	r, err := c.Put(ctx, "lags", "")
	if err != nil {
		t.Fatal(err)
	}
	rev := r.Header.Revision
	s := &scripted{revs: []int64{rev}}
	for range 20 {
		s.revs = append(s.revs, rev-1, rev)
	}
	kv := ordering.NewKV(s, ordering.NewOrderViolationSwitchEndpointClosure(c))
	for n := range 21 {
		if _, err := kv.Get(ctx, "lags"); err != nil {
			t.Fatalf("read %d: %v", n, err)
		}
	}
}

// TestSilentMembersAreGivenUp: that a silent member may have the revision is believed five times at
// most; once the client knows that it is silent, not any more.
func TestSilentMembersAreGivenUp(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cl.Endpoints()...)
	if err := cl.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	s := &scripted{revs: []int64{10, 5}}
	kv := ordering.NewKV(s, ordering.NewOrderViolationSwitchEndpointClosure(c))
	ctx := clienttest.Within(t, clienttest.Long)
	if _, err := kv.Get(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		before := s.calls.Load()
		_, err := kv.Get(ctx, "k")
		if tries := s.calls.Load() - before; err != ordering.ErrNoGreaterRev || tries > 6 {
			t.Errorf("%v after %d tries", err, tries)
		}
	}
}

// TestCutOffMember reads from a member that is cut off from its peers, after another member has
// shown a newer revision.
func TestCutOffMember(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, PeerProxied: true})
	behind := cl.Followers(t)[0]
	var others []string
	for _, m := range cl.Members() {
		if m != behind {
			others = append(others, m.Endpoint)
		}
	}
	c := clienttest.Dial(t, others...)
	ctx := clienttest.Within(t, 2*clienttest.Long)
	if _, err := c.Put(ctx, "k", "old"); err != nil {
		t.Fatal(err)
	}
	if _, err := clienttest.Dial(t, behind.Endpoint).Get(ctx, "k"); err != nil { // it has "old" now
		t.Fatal(err)
	}
	if err := behind.PartitionFromPeers(); err != nil {
		t.Fatal(err)
	}
	refusing := ordering.NewKV(c.KV, func(_ clientv3.Op, _ clientv3.OpResponse, prev int64) error { return errBehind })
	switching := ordering.NewKV(c.KV, ordering.NewOrderViolationSwitchEndpointClosure(c))
	for _, kv := range []clientv3.KV{refusing, switching} {
		if _, err := kv.Put(ctx, "k", "new"); err != nil {
			t.Fatal(err)
		}
	}
	stream := func(kv clientv3.KV) (string, error) {
		ch, err := kv.GetStream(ctx, "k", clientv3.WithSerializable())
		if err != nil {
			return "", err
		}
		r, err := clientv3.GetStreamToGetResponse(ch)
		if err != nil {
			return "", err
		}
		return string(r.Kvs[0].Value), nil
	}
	get := func(kv clientv3.KV) (string, error) {
		r, err := kv.Get(ctx, "k", clientv3.WithSerializable())
		if err != nil {
			return "", err
		}
		return string(r.Kvs[0].Value), nil
	}
	txn := func(kv clientv3.KV) (string, error) {
		r, err := kv.Txn(ctx).Then(clientv3.OpGet("k", clientv3.WithSerializable())).Commit()
		if err != nil {
			return "", err
		}
		return string(r.Responses[0].GetResponseRange().Kvs[0].Value), nil
	}
	reads := map[string]func(clientv3.KV) (string, error){"get": get, "stream": stream, "transaction": txn}

	c.SetEndpoints(behind.Endpoint)
	if v, err := get(c.KV); err != nil || v != "old" {
		t.Fatalf("the member that is cut off answers %q, %v", v, err)
	}
	for name, read := range reads {
		if v, err := read(refusing); err != errBehind {
			t.Errorf("%s: %q, %v", name, v, err)
		}
		if v, err := read(switching); err != ordering.ErrNoGreaterRev {
			t.Errorf("%s with no other member: %q, %v", name, v, err)
		}
	}
	c.SetEndpoints(append(others, behind.Endpoint)...)
	start := time.Now()
	for range 20 {
		for name, read := range reads {
			if v, err := read(switching); err != nil || v != "new" {
				t.Fatalf("%s with other members: %q, %v", name, v, err)
			}
		}
	}
	t.Logf("60 reads took %v", time.Since(start))
	c.SetEndpoints(behind.Endpoint)
	if err := behind.HealPeers(); err != nil {
		t.Fatal(err)
	}
	if err := behind.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	for name, read := range reads {
		if v, err := read(switching); err != nil || v != "new" {
			t.Errorf("%s after the member came back: %q, %v", name, v, err)
		}
	}
}

// TestStream tests streams in all cases but that of a lagging member.
func TestStream(t *testing.T) {
	server := etcdtest.Shared(t)
	etcdtest.CheckLeaks(t)
	c := clienttest.Dial(t, server.Endpoints()...)
	ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
	kv := ordering.NewKV(c.KV, nil)
	var rev int64
	for i := range 30 {
		r, err := kv.Put(ctx, fmt.Sprint("stream/", i), string(make([]byte, 100<<10)))
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.Revision
	}
	count := func(opts ...clientv3.OpOption) (int, error) {
		ch, err := kv.GetStream(ctx, "stream/", append(opts, clientv3.WithPrefix())...)
		if err != nil {
			return 0, err
		}
		r, err := clientv3.GetStreamToGetResponse(ch)
		if err != nil {
			return 0, err
		}
		return len(r.Kvs), nil
	}
	for name, opts := range map[string][]clientv3.OpOption{
		"linearizable":  nil,
		"serializable":  {clientv3.WithSerializable()},
		"of a revision": {clientv3.WithSerializable(), clientv3.WithRev(rev)},
	} {
		if n, err := count(opts...); n != 30 || err != nil {
			t.Errorf("%s: %d keys, %v", name, n, err)
		}
	}
	if _, err := count(clientv3.WithRev(rev + 1000)); err != rpctypes.ErrFutureRev {
		t.Errorf("of a future revision: %v", err)
	}
	if _, err := kv.GetStream(ctx, ""); err != rpctypes.ErrEmptyKey {
		t.Errorf("of no key: %v", err)
	}
	// The revision seen last is compacted behind kv's back.
	for range 2 {
		r, err := c.Put(ctx, "stream/0", "")
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.Revision
	}
	if _, err := c.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	if n, err := count(clientv3.WithSerializable()); n != 30 || err != nil {
		t.Errorf("after a compaction: %d keys, %v", n, err)
	}
	// Nothing is left running when a consumer stops reading.
	ch, err := kv.GetStream(ctx, "stream/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	cancel()
}

// TestCallsEndWithTheirContextsWhileFrozen: no call outlives its context, even while members are
// asked for their revisions.
func TestCallsEndWithTheirContextsWhileFrozen(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cl.Endpoints()...)
	f := ordering.NewOrderViolationSwitchEndpointClosure(c)
	kv := ordering.NewKV(c.KV, f)
	if _, err := kv.Put(clienttest.Within(t, clienttest.Long), "k", ""); err != nil {
		t.Fatal(err)
	}
	if err := cl.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"get": func(ctx context.Context) error {
			_, err := kv.Get(ctx, "k", clientv3.WithSerializable())
			return err
		},
		"txn": func(ctx context.Context) error {
			_, err := kv.Txn(ctx).Then(clientv3.OpGet("k")).Commit()
			return err
		},
		"stream": func(ctx context.Context) error {
			ch, err := kv.GetStream(ctx, "k", clientv3.WithSerializable())
			if err != nil {
				return err
			}
			_, err = clientv3.GetStreamToGetResponse(ch)
			return err
		},
		"function": func(context.Context) error {
			if err := f(clientv3.OpGet("k"), clientv3.OpResponse{}, 1<<40); err != nil {
				t.Errorf("a silent member may be far enough, but: %v", err)
			}
			return errBehind
		},
	} {
		start := time.Now()
		if call(clienttest.Within(t, 300*time.Millisecond)) == nil {
			t.Errorf("%s succeeded", name)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
