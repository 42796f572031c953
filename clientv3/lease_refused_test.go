package clientv3_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
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

// A user who is refused for a while, by a password that was changed, say, loses no lease that lives
// for longer than that. One that is lost then says why.
func TestLeaseOfRefusedUser(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	r := &recorder{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass", Hooks: r.hooks()})
	ctx := ctxFor(t, 2*long)
	password := func(p string) {
		t.Helper()
		if _, err := root.UserChangePassword(ctx, "user", p); err != nil {
			t.Fatal(err)
		}
	}
	of := func(id clientv3.LeaseID, e clientv3.LeaseEvent) func() bool {
		return has(r, &r.leases, func(l clientv3.LeaseInfo) bool { return l.ID == id && l.Event == e })
	}
	grant := func(ttl int64) (clientv3.LeaseID, <-chan *clientv3.LeaseKeepAliveResponse) {
		t.Helper()
		g, err := c.Grant(ctx, ttl)
		if err != nil {
			t.Fatal(err)
		}
		ch, err := c.KeepAlive(ctx, g.ID)
		if err != nil {
			t.Fatal(err)
		}
		<-ch
		return g.ID, ch
	}
	long, renewals := grant(12)
	short, ending := grant(4)
	password("other")
	ends(t, ending)
	await(t, "the long lease is in danger", of(long, clientv3.LeaseAtRisk))
	password("pass")
	await(t, "the long lease is renewed again", of(long, clientv3.LeaseRestored))
	select {
	case _, ok := <-renewals:
		if !ok {
			t.Error("the channel of the long lease is closed")
		}
	default:
	}
	if !has(r, &r.leases, func(l clientv3.LeaseInfo) bool {
		return l.ID == short && l.Event == clientv3.LeaseLost && errors.Is(l.Err, rpctypes.ErrAuthFailed)
	})() {
		t.Error("the loss of the short lease does not say why")
	}
}
