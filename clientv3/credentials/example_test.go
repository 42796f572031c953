package credentials_test

import (
	"context"
	"fmt"
	"log"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3/credentials"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func ExampleNewPerRPCCredentialBundle() {
	server, err := etcdtest.SharedMain() // runs for the example; yours is known from your configuration
	if err != nil {
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	bundle.UpdateAuthToken("from Authenticate") // this server does not ask for one
	resp, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("key"), CountOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("keys:", resp.Count)
	// Output: keys: 0
}
