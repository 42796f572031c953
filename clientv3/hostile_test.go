package clientv3_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// hostile is a server that answers every call, and mostly wrongly.
type hostile struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedWatchServer
	calls atomic.Int64
}

func (h *hostile) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	switch h.calls.Add(1) % 5 {
	case 0:
		return nil, status.Error(codes.Code(77), "no such code")
	case 1:
		return &pb.RangeResponse{}, nil // no header
	case 2:
		return &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{}, {Key: []byte{0}}}, Count: -5, More: true}, nil
	case 3:
		return nil, status.Error(codes.Unavailable, "")
	}
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: -1}}, nil
}

func (h *hostile) LeaseKeepAlive(
	s grpc.BidiStreamingServer[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse],
) error {
	for {
		r, err := s.Recv()
		if err != nil {
			return nil
		}
		answers := []*pb.LeaseKeepAliveResponse{
			{},
			{ID: r.ID + 1, TTL: 9},
			{ID: r.ID, TTL: 2},
			{ID: r.ID, TTL: 2},
			{ID: -r.ID, TTL: -1},
		}
		rand.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
		for _, a := range answers[:1+rand.IntN(len(answers))] {
			if s.Send(a) != nil {
				return nil
			}
		}
		if rand.IntN(4) == 0 {
			return status.Error(codes.Internal, "enough")
		}
	}
}

// Watch confirms creates once, twice, never or with other ids. It sends events that no watch asked
// for, old ones, and some without keys. Then it hangs up.
func (h *hostile) Watch(s grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]) error {
	header := func(rev int64) *pb.ResponseHeader {
		return &pb.ResponseHeader{ClusterId: 1, MemberId: 1, Revision: rev}
	}
	for {
		r, err := s.Recv()
		if err != nil {
			return nil
		}
		c := r.GetCreateRequest()
		if c == nil {
			continue
		}
		rev := max(c.StartRevision, 10)
		event := func(rev int64) []*mvccpb.Event {
			return []*mvccpb.Event{{Kv: &mvccpb.KeyValue{Key: c.Key, Value: []byte("v"), ModRevision: rev}}}
		}
		created := &pb.WatchResponse{Header: header(rev - 1), WatchId: c.WatchId, Created: true}
		menu := []*pb.WatchResponse{
			created, created, created, created,
			{Header: header(rev), WatchId: c.WatchId, Events: event(rev)},
			{Header: header(rev), WatchId: c.WatchId + 1000, Events: event(rev)},
			{Header: header(1), WatchId: c.WatchId, Events: event(1)},
			{WatchId: c.WatchId, Events: []*mvccpb.Event{{}, {Kv: &mvccpb.KeyValue{}}}},
			{Header: header(rev), WatchId: -1, Created: true, Canceled: true, CancelReason: "because"},
			{Header: header(rev), WatchId: c.WatchId + 7, Created: true},
			{Header: header(rev), WatchId: -9},
			{Header: header(rev), WatchId: c.WatchId, Fragment: true, Events: event(rev)},
			{},
		}
		for range 1 + rand.IntN(4) {
			if s.Send(menu[rand.IntN(len(menu))]) != nil {
				return nil
			}
		}
		switch rand.IntN(6) {
		case 0:
			return nil
		case 1:
			return status.Error(codes.Code(rand.IntN(20)), "go away")
		}
	}
}

func startHostile(t *testing.T) string {
	t.Helper()
	g, h := grpc.NewServer(), &hostile{}
	pb.RegisterKVServer(g, h)
	pb.RegisterLeaseServer(g, h)
	pb.RegisterWatchServer(g, h)
	return listenOn(t, g, "tcp", "127.0.0.1:0")
}

// Whatever a server answers: no panic, no hang, no leak, events in order, and every
// call back in time.
func TestHostileServer(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := dial(t, clientv3.Config{Endpoints: []string{startHostile(t)}})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	done := make(chan string)
	running := 0
	spawn := func(name string, f func()) {
		running++
		go func() { f(); done <- name }()
	}
	for i := range 20 {
		spawn(fmt.Sprint("watch ", i), func() {
			for ctx.Err() == nil {
				rev := int64(0)
				for r := range c.Watch(ctx, fmt.Sprint("k", i), clientv3.WithRev(int64(i))) {
					for _, e := range r.Events {
						if m := e.Kv.GetModRevision(); m < rev {
							t.Errorf("an event of revision %d after one of %d", m, rev)
						} else {
							rev = m
						}
					}
				}
			}
		})
		spawn(fmt.Sprint("lease ", i), func() {
			for ctx.Err() == nil {
				ch, err := c.KeepAlive(ctx, clientv3.LeaseID(i+1))
				if err != nil {
					return
				}
				for range ch {
				}
			}
		})
	}
	spawn("get", func() {
		for ctx.Err() == nil {
			_, _ = c.Get(ctx, "k")
		}
	})
	limit := time.NewTimer(long)
	defer limit.Stop()
	for range running {
		select {
		case <-done:
		case <-limit.C:
			t.Fatal("something hangs")
		}
	}
}

// A server that only sends bytes is no etcd server, whatever the bytes are.
func TestGarbageServer(t *testing.T) {
	etcdtest.CheckLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 256)
			for i := range b {
				b[i] = byte(rand.IntN(256))
			}
			_, _ = in.Write(b)
			_ = in.Close()
		}
	}()
	c := dial(t, clientv3.Config{Endpoints: []string{l.Addr().String()}, FailFast: true})
	for range 10 {
		_, err := c.Get(ctxFor(t, long), "k")
		if clientv3.Code(err) != codes.Unavailable {
			t.Errorf("%v", err)
		}
	}
}
