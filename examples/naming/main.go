// Naming registers three gRPC servers of one service in etcd, calls them in turn, and
// shows that calls follow what is registered:
//
//	go run ./naming
//
// The functions etcdAdd, etcdDelete and etcdLeaseAdd are as they were written for the earlier
// naming package. It used gRPC's own package of that name, whose types are now in the same
// package. etcdDial is what today's gRPC has in place of the balancers that took such a resolver.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/fairlead-go/fairlead/clientv3"
	//lint:ignore ST1019 what were two packages, gRPC's and etcd's, is one
	"github.com/fairlead-go/fairlead/clientv3/naming"
	etcdnaming "github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/clientv3/naming/resolver"
)

func etcdAdd(c *clientv3.Client, service, addr string) error {
	r := &etcdnaming.GRPCResolver{Client: c}
	return r.Update(c.Ctx(), service, naming.Update{Op: naming.Add, Addr: addr})
}

func etcdDial(c *clientv3.Client, service string) (*grpc.ClientConn, error) {
	b, err := resolver.NewBuilder(c)
	if err != nil {
		return nil, err
	}
	return grpc.NewClient("etcd:///"+service, grpc.WithResolvers(b),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func etcdDelete(c *clientv3.Client, service, addr string) error {
	r := &etcdnaming.GRPCResolver{Client: c}
	return r.Update(c.Ctx(), service, naming.Update{Op: naming.Delete, Addr: addr})
}

func etcdLeaseAdd(c *clientv3.Client, lid clientv3.LeaseID, service, addr string) error {
	r := &etcdnaming.GRPCResolver{Client: c}
	return r.Update(c.Ctx(), service, naming.Update{Op: naming.Add, Addr: addr}, clientv3.WithLease(lid))
}

// service is the name under which the servers below are registered.
const service = "my-service"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	defer cli.Close()
	names := make(map[string]string) // by address
	var addrs []string
	for _, name := range []string{"A", "B", "C"} {
		addr, stop, err := serve()
		if err != nil {
			return err
		}
		defer stop()
		names[addr] = name
		addrs = append(addrs, addr)
	}
	conn, err := etcdDial(cli, service)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &caller{health: healthpb.NewHealthClient(conn), names: names}

	if err := etcdAdd(cli, service, addrs[0]); err != nil {
		return err
	}
	c.await("A is registered", "A")
	if err := etcdAdd(cli, service, addrs[1]); err != nil {
		return err
	}
	c.await("B is registered too", "A B")
	lease, err := cli.Grant(cli.Ctx(), 5)
	if err != nil {
		return err
	}
	if err := etcdLeaseAdd(cli, lease.ID, service, addrs[2]); err != nil {
		return err
	}
	c.await("C is registered under a lease", "A B C")
	c.await("the lease has run out", "A B")
	if err := etcdDelete(cli, service, addrs[0]); err != nil {
		return err
	}
	c.await("A is withdrawn", "B")
	if err := etcdDelete(cli, service, addrs[1]); err != nil {
		return err
	}
	c.await("B is withdrawn", "")
	return c.err
}

// caller calls the service and records which servers answer.
type caller struct {
	health healthpb.HealthClient
	names  map[string]string
	err    error // the first failure; after it there are no calls
}

// await calls the service until exactly the wanted servers answer, each as often as the others.
func (c *caller) await(what, want string) {
	const each = 4
	begin := time.Now()
	for servers := strings.Fields(want); c.err == nil; {
		counts := make(map[string]int)
		for range each * max(1, len(servers)) {
			var p peer.Peer
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err := c.health.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(want != ""), grpc.Peer(&p))
			cancel()
			switch {
			case err == nil:
				counts[c.names[p.Addr.String()]]++
			case want == "":
				fmt.Printf("%s: calls fail at once, %v\n", what, err)
				return
			default:
				c.err = fmt.Errorf("%s: %w", what, err)
				return
			}
		}
		if len(counts) == len(servers) &&
			!slices.ContainsFunc(servers, func(s string) bool { return counts[s] != each }) {
			fmt.Printf("%s: calls go to %s\n", what, want)
			return
		}
		if time.Since(begin) > 30*time.Second {
			c.err = fmt.Errorf("%s: calls go to %v", what, counts)
		}
	}
}

// serve starts a gRPC server that answers health checks.
func serve() (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	go func() {
		if err := s.Serve(l); err != nil {
			log.Print(err)
		}
	}()
	return l.Addr().String(), s.Stop, nil
}
