package batch_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// leaderless is a server that refuses every write while it has no leader, and notes what is written.
type leaderless struct {
	pb.UnimplementedKVServer
	mu      sync.Mutex
	elected bool
	refused map[string]int    // guarded by mu; by key, how often
	values  map[string]string // guarded by mu
}

func (s *leaderless) write(puts ...*pb.PutRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range puts {
		if s.elected {
			s.values[string(p.Key)] = string(p.Value)
		} else {
			s.refused[string(p.Key)]++
		}
	}
	if !s.elected {
		return rpctypes.ErrGRPCNoLeader
	}
	return nil
}

func (s *leaderless) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{Header: &pb.ResponseHeader{}}, s.write(r)
}

func (s *leaderless) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: true}
	var puts []*pb.PutRequest
	for _, op := range r.Success {
		puts = append(puts, op.GetRequestPut())
		resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}})
	}
	return resp, s.write(puts...)
}

func (s *leaderless) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[key]
}

// TestAbandonedWrite: a write that was refused, and whose caller then gave up, is not sent again with
// those that travelled with it: its caller may have written something else meanwhile.
func TestAbandonedWrite(t *testing.T) {
	etcdtest.CheckLeaks(t)
	s := &leaderless{refused: map[string]int{}, values: map[string]string{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	pb.RegisterKVServer(srv, s)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	c := dial(t, clientv3.Config{Endpoints: []string{l.Addr().String()}})
	kv := batch.NewKV(c, batch.WithWrites())
	ctx := clienttest.Within(t, clienttest.Long)

	// Two go alone; of the others some travel with the one that will be given up.
	const others = 20
	done := make(chan error, others)
	for i := range others {
		go func() { _, err := kv.Put(ctx, fmt.Sprint("other", i), "v"); done <- err }()
	}
	impatient, giveUp := context.WithCancel(ctx)
	gaveUp := make(chan error, 1)
	go func() { _, err := kv.Put(impatient, "key", "old"); gaveUp <- err }()
	clienttest.Await(t, "the write is refused", func() bool { return s.count("key") > 0 })
	giveUp()
	if err := clienttest.Receive(t, "the one that gives up", gaveUp); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.elected, s.values["key"] = true, "new" // written by the same caller on another way, say
	s.mu.Unlock()
	failed := 0
	for range others {
		if err := clienttest.Receive(t, "the others", done); err != nil {
			failed++
			t.Log(err)
		}
	}
	if failed > 0 {
		t.Errorf("%d of the others failed", failed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.values["key"]; v != "new" {
		t.Errorf("after a write of %q the value is %q", "new", v)
	}
}
