package naming_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/clientv3/naming/resolver"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// callable is the address of a gRPC server that answers health checks.
func callable(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	clienttest.OK(t, "Listen", err)
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	var served sync.WaitGroup
	served.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Stop(); served.Wait() })
	return l.Addr().String()
}

// TestNamesResolveWithoutAQuorum: with two of three members dead, each interface finds the records
// of the third. When the others are back, watches report changes again.
func TestNamesResolveWithoutAQuorum(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	seasoned, fresh := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Dial(t, cluster.Endpoints()...)
	addr := callable(t)
	updater(t, seasoned)(naming.Update{Addr: addr})
	dead := cluster.Followers(t)
	for _, m := range dead {
		m.Kill()
	}
	key := t.Name() + "/" + addr
	var channels []endpoints.WatchChannel
	for name, c := range map[string]*clientv3.Client{"seasoned": seasoned, "fresh": fresh} {
		ctx := within(t)
		timed := func(what string, f func() error) {
			begin := time.Now()
			clienttest.OK(t, name+" client, "+what, f())
			t.Logf("%s client, %s: %v", name, what, time.Since(begin).Round(time.Millisecond))
		}
		m, err := endpoints.NewManager(c, t.Name())
		clienttest.OK(t, "NewManager", err)
		timed("List", func() error {
			list, err := m.List(ctx)
			if err == nil && list[key].Addr != addr {
				return fmt.Errorf("it is %v", list)
			}
			return err
		})
		timed("watch channel", func() error {
			ch, err := m.NewWatchChannel(ctx)
			if err != nil {
				return err
			}
			if u := clienttest.Receive(t, "first delivery", ch); len(u) != 1 || u[0].Key != key {
				return fmt.Errorf("delivered %v", u)
			}
			channels = append(channels, ch)
			return nil
		})
		timed("Next", func() error {
			u, err := resolve(t, c).next()
			if got := words(u); err == nil && !slices.Equal(got, []string{"+" + addr + " <nil>"}) {
				return fmt.Errorf("updates %v", got)
			}
			return err
		})
		b, err := resolver.NewBuilder(c)
		clienttest.OK(t, "NewBuilder", err)
		cc, err := grpc.NewClient(
			"etcd:///"+t.Name(),
			grpc.WithResolvers(b),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
		)
		clienttest.OK(t, "NewClient", err)
		defer cc.Close()
		timed("a call", func() error {
			_, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		})
	}
	for _, m := range dead {
		clienttest.OK(t, "Restart", m.Restart())
	}
	clienttest.OK(t, "WaitHealthy", cluster.WaitHealthy(within(t)))
	updater(t, fresh)(naming.Update{Addr: "later:1"})
	for _, ch := range channels {
		if u := clienttest.Receive(t, "a change after the outage", ch); len(u) != 1 || u[0].Endpoint.Addr != "later:1" {
			t.Errorf("delivered %v", u)
		}
	}
}

// TestManagerNeverListsWhatItKnowsToBeOld: a Manager does not accept the answer of a member that
// has missed the Manager's own writes. Another Manager, which has seen nothing newer, does.
func TestManagerNeverListsWhatItKnowsToBeOld(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3, PeerProxied: true})
	behind := cluster.Followers(t)[0]
	var others []string
	for _, m := range cluster.Members() {
		if m != behind {
			others = append(others, m.Endpoint)
		}
	}
	c := clienttest.Dial(t, others...)
	writer, err := endpoints.NewManager(c, t.Name())
	clienttest.OK(t, "NewManager", err)
	old, newer := t.Name()+"/old", t.Name()+"/newer"
	clienttest.OK(t, "AddEndpoint", writer.AddEndpoint(within(t), old, endpoints.Endpoint{Addr: "old:1"}))
	only := clienttest.Dial(t, behind.Endpoint)
	clienttest.Await(t, "the follower has it", func() bool {
		r, err := only.Get(within(t), old, clientv3.WithSerializable())
		return err == nil && len(r.Kvs) == 1
	})
	clienttest.OK(t, "PartitionFromPeers", behind.PartitionFromPeers())
	for _, m := range cluster.Members() {
		if m != behind {
			clienttest.OK(t, "WaitReady", m.WaitReady(within(t))) // it may have become the leader
		}
	}
	clienttest.OK(t, "AddEndpoint", writer.AddEndpoint(within(t), newer, endpoints.Endpoint{Addr: "newer:1"}))
	for _, m := range cluster.Members() {
		if m != behind {
			m.Kill()
		}
	}
	c.SetEndpoints(behind.Endpoint)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if list, err := writer.List(ctx); err != context.DeadlineExceeded {
		t.Errorf("the writer lists %v, %v", list, err)
	}
	reader, err := endpoints.NewManager(c, t.Name())
	clienttest.OK(t, "NewManager", err)
	if list, err := reader.List(within(t)); err != nil || len(list) != 1 || list[old].Addr != "old:1" {
		t.Errorf("another one lists %v, %v", list, err)
	}
}
