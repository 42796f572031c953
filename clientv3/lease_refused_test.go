package clientv3_test

import (
	"context"
	"errors"
	"fmt"
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

// A server that is told to end waits for seconds for streams of others and takes nothing new. To a
// client that knows no other member it renews leases and shows events as long as it is there.
func TestStreamsWhileTheOnlyMemberShutsDown(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: []string{m.Endpoint}})
	writer := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[1:]})
	ctx := ctxFor(t, 3*long)
	g, err := c.Grant(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	renewals, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-renewals
	events := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	next(t, events)
	holdUp(t, ctx, m)

	ended := make(chan time.Time, 1)
	began := time.Now()
	go func() {
		m.Terminate()
		ended <- time.Now()
	}()
	last, shown := began, 0
	for over := false; !over; {
		select {
		case _, ok := <-renewals:
			if !ok {
				t.Fatalf("the lease is lost %v after the server was told to end", time.Since(began))
			}
			if last = time.Now(); last.Sub(began) > 4*time.Second {
				continue // it may end at any moment
			}
			shown++
			if _, err := writer.Put(ctx, "k", fmt.Sprint(shown)); err != nil {
				t.Fatal(err)
			}
			if r := next(t, events); r.Err() != nil || len(r.Events) != 1 || string(r.Events[0].Kv.Value) != fmt.Sprint(shown) {
				t.Fatalf("the watch has %+v, %v; want %d", r.Events, r.Err(), shown)
			}
		case at := <-ended:
			over = true
			if took := at.Sub(began); took < 5*time.Second || shown == 0 {
				t.Fatalf("the server ended after %v, so this shows nothing", took)
			}
			if gap := at.Sub(last); gap > 2*time.Second {
				t.Errorf("the last renewal was %v before the server's end", gap)
			}
		}
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Put(ctx, "k", "after"); err != nil {
		t.Fatal(err)
	}
	if r := next(t, events); r.Err() != nil || string(r.Events[0].Kv.Value) != "after" {
		t.Fatalf("the watch after the restart: %+v, %v", r.Events, r.Err())
	}
}

// holdUp opens a stream that a member waits for when it is told to end.
func holdUp(t *testing.T, ctx context.Context, m *etcdtest.Member) {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(m.Endpoint, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("held")}}}
	if err := w.Send(create); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
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
