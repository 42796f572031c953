// Package mockserver runs gRPC servers that answer as etcd does, but store nothing. They are for
// tests with several servers, some of which stop.
//
// The KV and Lease services answer each request with an empty response, without a header; a
// keep-alive stream ends at once. All other calls are Unimplemented. The servers listen on loopback
// or on Unix sockets. Other tests need a real etcd.
//
// All methods are safe for concurrent use. Do not read the fields of a MockServer while it is
// started or stopped.
package mockserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// MockServer is one server.
type MockServer struct {
	Network    string       // "tcp" or "unix"
	Address    string       // "127.0.0.1:port", or the path of the socket; a restart keeps it
	GRPCServer *grpc.Server // nil while stopped

	served chan struct{} // closed when GRPCServer has ended
}

// ResolverAddress returns the address in the form of gRPC's resolvers.
func (ms *MockServer) ResolverAddress() resolver.Address {
	if ms.Network == "unix" {
		return resolver.Address{Addr: "unix://" + ms.Address}
	}
	return resolver.Address{Addr: ms.Address}
}

// MockServers are servers that a test starts and stops one by one.
type MockServers struct {
	Servers []*MockServer

	mu sync.Mutex // guards the fields of Servers
}

// StartMockServers starts servers on TCP ports. They run until Stop.
func StartMockServers(count int) (ms *MockServers, err error) {
	return StartMockServersOnNetwork(count, "tcp")
}

// StartMockServersOnNetwork starts servers on TCP ports ("tcp") or Unix sockets
// ("unix"). They run until Stop. If one cannot start, none does.
func StartMockServersOnNetwork(count int, network string) (ms *MockServers, err error) {
	if count < 0 {
		return nil, fmt.Errorf("mockserver: %d servers", count)
	}
	ms = &MockServers{}
	for range count {
		l, err := listen(network)
		if err != nil {
			ms.Stop()
			return nil, err
		}
		s := &MockServer{Network: network, Address: l.Addr().String()}
		s.serve(l)
		ms.Servers = append(ms.Servers, s)
	}
	return ms, nil
}

// listen listens on a new address.
func listen(network string) (net.Listener, error) {
	switch network {
	case "tcp":
		return net.Listen("tcp", "127.0.0.1:0")
	case "unix":
		f, err := os.CreateTemp("", "mockserver-*.sock") // for its name
		if err != nil {
			return nil, err
		}
		_ = f.Close()
		_ = os.Remove(f.Name())
		return net.Listen("unix", f.Name())
	}
	return nil, fmt.Errorf("mockserver: unsupported network %q, want tcp or unix", network)
}

// serve starts the server on l.
func (ms *MockServer) serve(l net.Listener) {
	s := grpc.NewServer()
	pb.RegisterKVServer(s, kv{})
	pb.RegisterLeaseServer(s, lease{})
	served := make(chan struct{})
	ms.GRPCServer, ms.served = s, served
	go func() {
		defer close(served)
		_ = s.Serve(l) // until Stop
	}()
}

// StartAt starts a stopped server at its old address. It fails if there is no server idx, if that
// server runs, or if another program has taken the address.
func (ms *MockServers) StartAt(idx int) (err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if idx < 0 || idx >= len(ms.Servers) {
		return fmt.Errorf("mockserver: no server %d of %d", idx, len(ms.Servers))
	}
	s := ms.Servers[idx]
	if s.GRPCServer != nil {
		return fmt.Errorf("mockserver: server %d runs", idx)
	}
	l, err := net.Listen(s.Network, s.Address)
	if err != nil {
		return err
	}
	s.serve(l)
	return nil
}

// StopAt stops a server: it closes its listener and its connections at once, and returns when they
// are closed. It does nothing if there is no server idx or that server does not run.
func (ms *MockServers) StopAt(idx int) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if idx < 0 || idx >= len(ms.Servers) {
		return
	}
	s := ms.Servers[idx]
	if s.GRPCServer == nil {
		return
	}
	s.GRPCServer.Stop()
	<-s.served
	s.GRPCServer = nil
}

// Stop stops all servers. StartAt may start them again.
func (ms *MockServers) Stop() {
	for i := range ms.Servers {
		ms.StopAt(i)
	}
}

type kv struct {
	pb.UnimplementedKVServer
}

func (kv) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{}, nil
}

func (kv) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{}, nil
}

func (kv) DeleteRange(context.Context, *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	return &pb.DeleteRangeResponse{}, nil
}

func (kv) Txn(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{}, nil
}

func (kv) Compact(context.Context, *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	return &pb.CompactionResponse{}, nil
}

type lease struct {
	pb.UnimplementedLeaseServer
}

func (lease) LeaseGrant(context.Context, *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{}, nil
}

func (lease) LeaseRevoke(context.Context, *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	return &pb.LeaseRevokeResponse{}, nil
}

func (lease) LeaseKeepAlive(pb.Lease_LeaseKeepAliveServer) error { return nil }

func (lease) LeaseTimeToLive(context.Context, *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	return &pb.LeaseTimeToLiveResponse{}, nil
}

func (lease) LeaseLeases(context.Context, *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	return &pb.LeaseLeasesResponse{}, nil
}
