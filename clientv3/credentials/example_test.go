package credentials_test

import (
	"context"
	"fmt"
	"log"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/credentials"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// enableAuth enables a server's authentication, with a user root whose password is "secret".
func enableAuth(ctx context.Context, endpoints []string) error {
	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer cli.Close()
	for _, step := range []func() error{
		func() error { _, err := cli.RoleAdd(ctx, "root"); return err },
		func() error { _, err := cli.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := cli.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := cli.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func ExampleNewPerRPCCredentialBundle() {
	server, err := etcdtest.StartMain(
		etcdtest.Options{},
	) // a server for the example; yours has an address in your configuration
	if err != nil {
		log.Fatal(err)
	}
	defer server.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := enableAuth(ctx, server.Endpoints()); err != nil {
		log.Fatal(err)
	}

	bundle := credentials.NewPerRPCCredentialBundle()
	conn, err := grpc.NewClient(server.Endpoints()[0],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bundle.PerRPCCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	login, err := pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: "secret"})
	if err != nil {
		log.Fatal(err)
	}
	bundle.UpdateAuthToken(login.Token)
	resp, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("key"), CountOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("keys:", resp.Count)
	// Output: keys: 0
}
