package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestRestoredBehindTheGRPCProxy: a backup is put back while etcd's gRPC proxy keeps the streams of
// its clients. The cluster's id and raft term are the same as before. Watches notice it, whether
// the new history is quiet or overtakes them at once.
func TestRestoredBehindTheGRPCProxy(t *testing.T) {
	t.Parallel()
	for name, writes := range map[string]int{"quiet": 1, "overtaking": 60} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t, etcdtest.Options{})
			direct := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
			var looks atomic.Int64
			c := dial(t, clientv3.Config{Endpoints: []string{etcdtest.Proxy(t, cl)}, Hooks: clientv3.Hooks{
				Attempt: func(a clientv3.AttemptInfo) {
					if a.Method == "KV.Txn" && a.Err == nil {
						looks.Add(1)
					}
				},
			}})
			put(t, direct, "k/old", "v")
			backup := clienttest.Backup(t, cl)
			lost := putSoon(t, direct, "k/lost")
			ctx := ctxFor(t, 3*long)
			opts := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithRev(lost)}
			plain := c.Watch(ctx, "k/", opts...)
			w := clientv3.NewResumingWatcher(c, c)
			defer w.Close()
			resuming := w.Watch(ctx, "k/", opts...)
			have := picture{}
			have.apply(next(t, resuming))
			for range 20 {
				put(t, direct, "elsewhere", "v")
			}
			put(t, direct, "k/lost", "later")
			for have["k/lost"] != "later" {
				have.apply(next(t, resuming))
			}
			// When two have been answered, one was sent since.
			had := looks.Load()
			await(t, "a look at what was received", func() bool { return looks.Load() >= had+2 })
			clienttest.PutBack(t, cl, backup)
			for i := range writes {
				putSoon(t, direct, fmt.Sprint("k/new", i%2))
			}
			want := picture{"k/old": "v", "k/new0": "v"}
			if writes > 1 {
				want["k/new1"] = "v"
			}
			for fmt.Sprint(have) != fmt.Sprint(want) {
				r := next(t, resuming)
				if r.Err() != nil {
					t.Fatalf("the resuming watch: %v, the consumer has %v", r.Err(), have)
				}
				have.apply(r)
			}
			for {
				r := next(t, plain)
				if errors.Is(r.Err(), clientv3.ErrHistoryLost) {
					break
				}
				if r.Err() != nil {
					t.Fatalf("the ordinary watch: %v", r.Err())
				}
			}
		})
	}
}

// TestWatchFromAFutureRevisionBehindTheGRPCProxy: the proxy answers a second watch of a range by
// itself, with the revision that was asked for. That is not taken for the cluster's, which would
// then have gone back: the watch waits for its revision.
func TestWatchFromAFutureRevisionBehindTheGRPCProxy(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	var reads atomic.Int64
	c := dial(t, clientv3.Config{Endpoints: []string{etcdtest.Proxy(t, cl)}, Hooks: clientv3.Hooks{
		Attempt: func(a clientv3.AttemptInfo) {
			if a.Method != "KV.Put" && a.Err == nil {
				reads.Add(1)
			}
		},
	}})
	ctx := ctxFor(t, 3*long)
	rev := putSoon(t, c, "k")
	first := c.Watch(ctx, "k", clientv3.WithRev(rev))
	next(t, first)
	future := c.Watch(ctx, "k", clientv3.WithRev(rev+10))
	had := reads.Load()
	await(t, "a look", func() bool { return reads.Load() >= had+2 })
	for putSoon(t, c, "k") < rev+10 {
	}
	if r := next(t, future); r.Err() != nil || len(r.Events) != 1 || r.Events[0].Kv.ModRevision != rev+10 {
		t.Errorf("the watch from revision %d: %+v, %v", rev+10, r, r.Err())
	}
}

// TestUsersWatchBehindTheGRPCProxyOverARestart: the proxy's own watch has the token of the user who
// asked first. A member that was restarted does not know it; the proxy then says nothing any more.
// Clients find that out, and their watches begin anew, once none of them has the proxy's watch.
func TestUsersWatchBehindTheGRPCProxyOverARestart(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	m := cl.Members()[0]
	proxy := etcdtest.Proxy(t, cl) // without a user it is not healthy once there are users
	addUsers(t, cl)
	asRoot := clientv3.Config{Endpoints: []string{m.Endpoint}, Username: "root", Password: "root"}
	ctx := ctxFor(t, 3*long)
	root := dial(t, asRoot)
	var watches []clientv3.WatchChan
	for range 3 {
		c := dial(t, clientv3.Config{Endpoints: []string{proxy}, Username: "user", Password: "pass"})
		watches = append(watches, c.Watch(ctx, "user/", clientv3.WithPrefix()))
	}
	putSoon(t, root, "user/k")
	for _, w := range watches {
		next(t, w)
	}
	m.Terminate()
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	root = dial(t, asRoot)
	for range 3 {
		rev := putSoon(t, root, "user/k")
		for i, w := range watches {
			if r := next(t, w); r.Err() != nil || len(r.Events) != 1 || r.Events[0].Kv.ModRevision != rev {
				t.Fatalf("watch %d after revision %d: %+v, %v", i, rev, r, r.Err())
			}
		}
	}
}

// memberless refuses the first watch as etcd's gRPC proxy does that has just lost its own member,
// and ends the second one so.
type memberless struct {
	pb.UnimplementedWatchServer
	pb.UnimplementedKVServer
	begun atomic.Int64
}

var memberlessHeader = &pb.ResponseHeader{ClusterId: 1, MemberId: 1, Revision: 4}

func (p *memberless) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: memberlessHeader}, nil
}

func (p *memberless) Watch(s grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]) error {
	const reason = "rpc error: code = Unavailable desc = error reading from server: EOF"
	h := memberlessHeader
	for {
		r, err := s.Recv()
		if err != nil {
			return nil
		}
		if r.GetCreateRequest() == nil {
			continue
		}
		var answers []*pb.WatchResponse
		switch p.begun.Add(1) {
		case 1:
			answers = []*pb.WatchResponse{{Header: h, WatchId: -1, Created: true, Canceled: true, CancelReason: reason}}
		case 2:
			answers = []*pb.WatchResponse{
				{Header: h, Created: true},
				{Header: h, Canceled: true, CancelReason: reason},
			}
		default:
			kv := &mvccpb.KeyValue{Key: r.GetCreateRequest().Key, ModRevision: 5}
			answers = []*pb.WatchResponse{
				{Header: h, Created: true},
				{Header: h, Events: []*mvccpb.Event{{Kv: kv}}},
			}
		}
		for _, a := range answers {
			if err := s.Send(a); err != nil {
				return err
			}
		}
	}
}

// TestWatchOverAProxyThatLosesItsMember: the watch goes on, since nothing is wrong with it.
func TestWatchOverAProxyThatLosesItsMember(t *testing.T) {
	g, p := grpc.NewServer(), &memberless{}
	pb.RegisterWatchServer(g, p)
	pb.RegisterKVServer(g, p)
	c := dial(t, clientv3.Config{Endpoints: []string{listenOn(t, g, "tcp", "127.0.0.1:0")}})
	w := c.Watch(ctxFor(t, long), "k", clientv3.WithRev(5))
	if r := next(t, w); r.Err() != nil || len(r.Events) != 1 || p.begun.Load() != 3 {
		t.Errorf("%+v, %v after %d creates", r, r.Err(), p.begun.Load())
	}
}
