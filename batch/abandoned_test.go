package batch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// leaderless is a server that holds each write back while it has no leader, and refuses it when it
// has one again. It notes what is written.
type leaderless struct {
	pb.UnimplementedKVServer
	hold    chan struct{} // closed when there is a leader
	mu      sync.Mutex
	elected bool              // guarded by mu
	refused int               // guarded by mu
	values  map[string]string // guarded by mu
}

func (s *leaderless) write(puts ...*pb.PutRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.elected {
		s.refused++
		s.mu.Unlock()
		<-s.hold
		s.mu.Lock()
		return rpctypes.ErrGRPCNoLeader
	}
	for _, p := range puts {
		s.values[string(p.Key)] = string(p.Value)
	}
	return nil
}

// elect gives the server a leader. values are what others wrote meanwhile.
func (s *leaderless) elect(values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.elected = true
	maps.Copy(s.values, values)
	close(s.hold)
}

func (s *leaderless) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

func (s *leaderless) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{Header: &pb.ResponseHeader{}}, s.write(r)
}

func (s *leaderless) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: true}
	var puts []*pb.PutRequest
	for _, op := range r.Success {
		puts = append(puts, op.GetRequestPut())
		resp.Responses = append(resp.Responses,
			&pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}})
	}
	return resp, s.write(puts...)
}

// TestAbandonedWriteIsNotSentAgain: a write was refused together with others. Its caller gives up,
// and may write something else then. When the others are sent again, this write is not.
func TestAbandonedWriteIsNotSentAgain(t *testing.T) {
	etcdtest.CheckLeaks(t)
	s := &leaderless{hold: make(chan struct{}), values: map[string]string{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	pb.RegisterKVServer(srv, s)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	q := newQueue(clienttest.Dial(t, l.Addr().String()).KV, true)
	q.busy = maxSlots // so that all travel together
	ctx := clienttest.Within(t, clienttest.Long)
	put := func(ctx context.Context, key, value string, done chan<- error) {
		op := clientv3.OpPut(key, value)
		_, err := q.do(ctx, &op)
		done <- err
	}
	const others = 3
	done := make(chan error, others)
	for i := range others {
		go put(ctx, fmt.Sprint("other", i), "v", done)
	}
	impatient, giveUp := context.WithCancel(ctx)
	gaveUp := make(chan error, 1)
	go put(impatient, "key", "old", gaveUp)
	clienttest.Await(t, "all wait", func() bool { return q.soFar() == others+1 })
	q.mu.Lock()
	q.busy = 1
	q.mu.Unlock()
	q.next()
	clienttest.Await(t, "the server has the writes", func() bool { return s.refusals() > 0 })
	giveUp()
	if err := clienttest.Receive(t, "the one that gives up", gaveUp); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.elect(map[string]string{"key": "new"}) // say, by the same caller on another path
	for range others {
		if err := clienttest.Receive(t, "the others", done); err != nil {
			t.Error(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.values["key"]; v != "new" {
		t.Errorf("after a write of %q the value is %q", "new", v)
	}
	if len(s.values) != others+1 {
		t.Errorf("the server has %v", s.values)
	}
}
