// A program that imports everything by both paths, and mixes what it makes with either.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	ours "github.com/fairlead-go/fairlead/clientv3"
	_ "github.com/fairlead-go/fairlead/clientv3/clientv3util"
	oursconcurrency "github.com/fairlead-go/fairlead/clientv3/concurrency"
	_ "github.com/fairlead-go/fairlead/clientv3/credentials"
	_ "github.com/fairlead-go/fairlead/clientv3/experimental/recipes"
	_ "github.com/fairlead-go/fairlead/clientv3/kubernetes"
	_ "github.com/fairlead-go/fairlead/clientv3/leasing"
	_ "github.com/fairlead-go/fairlead/clientv3/mirror"
	_ "github.com/fairlead-go/fairlead/clientv3/mock/mockserver"
	_ "github.com/fairlead-go/fairlead/clientv3/namespace"
	_ "github.com/fairlead-go/fairlead/clientv3/naming"
	_ "github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	oursresolver "github.com/fairlead-go/fairlead/clientv3/naming/resolver"
	_ "github.com/fairlead-go/fairlead/clientv3/ordering"
	_ "github.com/fairlead-go/fairlead/clientv3/snapshot"
	_ "github.com/fairlead-go/fairlead/clientv3/yaml"
	_ "github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/concurrency"
	_ "go.etcd.io/etcd/client/v3/credentials"
	_ "go.etcd.io/etcd/client/v3/experimental/recipes"
	_ "go.etcd.io/etcd/client/v3/kubernetes"
	_ "go.etcd.io/etcd/client/v3/leasing"
	_ "go.etcd.io/etcd/client/v3/mirror"
	_ "go.etcd.io/etcd/client/v3/mock/mockserver"
	_ "go.etcd.io/etcd/client/v3/namespace"
	_ "go.etcd.io/etcd/client/v3/naming"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	_ "go.etcd.io/etcd/client/v3/ordering"
	_ "go.etcd.io/etcd/client/v3/snapshot"
	_ "go.etcd.io/etcd/client/v3/yaml"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("both")
}

func run(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var c *clientv3.Client
	c, err := ours.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 20 * time.Second})
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := concurrency.NewSession(c)
	if err != nil {
		return err
	}
	defer s.Close()
	held := oursconcurrency.NewMutex(s, "lock")
	if err := held.Lock(ctx); err != nil {
		return err
	}
	other, err := oursconcurrency.NewSession(c)
	if err != nil {
		return err
	}
	defer other.Close()
	if err := concurrency.NewMutex(other, "lock").TryLock(ctx); !errors.Is(err, oursconcurrency.ErrLocked) || err != concurrency.ErrLocked {
		return fmt.Errorf("a held lock: %w", err)
	}
	m, err := endpoints.NewManager(c, "service")
	if err != nil {
		return err
	}
	if err := m.AddEndpoint(ctx, "service/a", endpoints.Endpoint{Addr: endpoint}); err != nil {
		return err
	}
	a, err := resolver.NewBuilder(c)
	if err != nil {
		return err
	}
	b, err := oursresolver.NewBuilder(c)
	if err != nil {
		return err
	}
	for _, o := range []grpc.DialOption{grpc.WithResolvers(a), grpc.WithResolvers(b)} {
		conn, err := grpc.NewClient("etcd:///service", o, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		_, err = etcdserverpb.NewKVClient(conn).Range(ctx, &etcdserverpb.RangeRequest{Key: []byte("k")})
		if err = errors.Join(err, conn.Close()); err != nil {
			return err
		}
	}
	return nil
}
