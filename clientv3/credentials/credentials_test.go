package credentials_test

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3/credentials"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestBundleFollowsTheToken(t *testing.T) {
	b := credentials.NewPerRPCCredentialBundle()
	c := b.PerRPCCredentials()
	for _, token := range []string{"", "one", "two", ""} {
		b.UpdateAuthToken(token)
		md, err := c.GetRequestMetadata(context.Background())
		if err != nil || md["token"] != token || len(md) > 1 {
			t.Errorf("token %q: metadata %v, %v", token, md, err)
		}
	}
	if c.RequireTransportSecurity() {
		t.Error("the token needs TLS, which etcd does not demand")
	}
}

// TestBundleLogsIn sends a token on a plain gRPC connection to a server with authentication.
func TestBundleLogsIn(t *testing.T) {
	server := etcdtest.Start(t, etcdtest.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := enableAuth(ctx, server.Endpoints()); err != nil {
		t.Fatal(err)
	}
	b := credentials.NewPerRPCCredentialBundle()
	conn, err := grpc.NewClient(server.Endpoints()[0],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(b.PerRPCCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	get := func() error {
		_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("key")})
		return err
	}
	if get() == nil {
		t.Error("a call without a token succeeded")
	}
	resp, err := pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	b.UpdateAuthToken(resp.Token)
	if err := get(); err != nil {
		t.Errorf("a call with a token: %v", err)
	}
}

// TestTransportCredential connects to a server with TLS.
func TestTransportCredential(t *testing.T) {
	authority := etcdtest.NewTLS(t)
	server := etcdtest.Start(t, etcdtest.Options{TLS: authority, ClientCertAuth: true})
	conn, err := grpc.NewClient(server.Endpoints()[0],
		grpc.WithTransportCredentials(credentials.NewTransportCredential(authority.ClientConfig(t))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("key")}); err != nil {
		t.Error(err)
	}
	if p := credentials.NewTransportCredential(nil).Info().SecurityProtocol; p != "tls" {
		t.Errorf("without a configuration: %s", p)
	}
}
