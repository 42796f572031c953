package clientv3_test

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A server that is told to end waits for seconds for streams of others, takes nothing new, and
// lets leases expire: they are renewed on the stream that there is.
func TestRenewalsWhileTheOnlyServerShutsDown(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 2*long)
	g, err := c.Grant(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	renewals, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-renewals

	conn, err := grpc.NewClient(strings.TrimPrefix(m.Endpoint, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}}
	if err := w.Send(create); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}

	ended := make(chan time.Time, 1)
	began := time.Now()
	go func() {
		m.Terminate()
		ended <- time.Now()
	}()
	last := began
	for {
		select {
		case _, ok := <-renewals:
			if !ok {
				t.Fatalf("the lease is lost %v after the server was told to end", time.Since(began))
			}
			last = time.Now()
			continue
		case at := <-ended:
			if took := at.Sub(began); took < 4*time.Second {
				t.Fatalf("the server ended after %v, so this shows nothing", took)
			}
			if gap := at.Sub(last); gap > 2*time.Second {
				t.Errorf("the last renewal was %v before the server's end", gap)
			}
		}
		break
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	await(t, "the lease is renewed again", func() bool {
		select {
		case _, ok := <-renewals:
			if !ok {
				t.Fatal("the lease is lost after the restart")
			}
			return true
		default:
			return false
		}
	})
}
