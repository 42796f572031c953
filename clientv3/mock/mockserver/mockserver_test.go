package mockserver_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mock/mockserver"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestServers(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			etcdtest.CheckLeaks(t)
			ms, err := mockserver.StartMockServersOnNetwork(3, network)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(ms.Stop)
			var endpoints []string
			for _, s := range ms.Servers {
				if s.Network != network || s.GRPCServer == nil {
					t.Errorf("%+v", s)
				}
				endpoints = append(endpoints, s.ResolverAddress().Addr)
			}
			c := clienttest.Dial(t, endpoints...)
			ctx := clienttest.Within(t, clienttest.Long)
			if r, err := c.Get(ctx, "k"); err != nil || len(r.Kvs) != 0 {
				t.Errorf("%v, %v", r, err)
			}
			for name, call := range map[string]func() error{
				"put":    func() error { _, err := c.Put(ctx, "k", "v"); return err },
				"delete": func() error { _, err := c.Delete(ctx, "k"); return err },
				"txn":    func() error { _, err := c.Txn(ctx).Then(clientv3.OpGet("k")).Commit(); return err },
				"revoke": func() error { _, err := c.Revoke(ctx, 1); return err },
				"leases": func() error { _, err := c.Leases(ctx); return err },
				"ttl":    func() error { _, err := c.TimeToLive(ctx, 1); return err },
			} {
				if err := call(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			// Two of three servers stop: the client goes on with the third.
			ms.StopAt(0)
			ms.StopAt(1)
			ms.StopAt(1)
			for range 10 {
				if _, err := c.Get(ctx, "k"); err != nil {
					t.Errorf("with one server: %v", err)
				}
			}
			ms.StopAt(2)
			_, err = c.Get(clientv3.WithFailFast(clienttest.Within(t, 3*time.Second)), "k")
			if clientv3.Code(err) != codes.Unavailable {
				t.Errorf("without a server: %v", err)
			}
			before := ms.Servers[1].Address
			if err := ms.StartAt(1); err != nil || ms.Servers[1].Address != before {
				t.Errorf("restart: %v at %s, was %s", err, ms.Servers[1].Address, before)
			}
			if _, err := c.Get(ctx, "k"); err != nil {
				t.Errorf("after the restart: %v", err)
			}
			if err := ms.StartAt(1); err == nil {
				t.Error("a server was started twice")
			}
			ms.Stop()
			ms.Stop()
		})
	}
}

func TestMistakes(t *testing.T) {
	if _, err := mockserver.StartMockServersOnNetwork(1, "pigeon"); err == nil {
		t.Error("an unknown network was accepted")
	}
	if _, err := mockserver.StartMockServers(-1); err == nil {
		t.Error("a negative number was accepted")
	}
	ms, err := mockserver.StartMockServers(0)
	if err != nil || len(ms.Servers) != 0 {
		t.Errorf("%v, %v", ms, err)
	}
	ms.StopAt(0)
	ms.StopAt(-1)
	if ms.StartAt(0) == nil || ms.StartAt(-1) == nil {
		t.Error("a server that does not exist was started")
	}
	ms.Stop()
}
