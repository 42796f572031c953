package clientv3_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A server that is asked to end accepts no new streams, and waits for seconds for the open ones. As
// long as it runs, a client that knows no other member gets its renewals and events.
func TestStreamsWhileTheOnlyMemberShutsDown(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: []string{m.Endpoint}})
	writer := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[1:]})
	ctx := ctxFor(t, 3*long)
	_, renewals := keptLease(t, ctx, c, 3)
	events := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	next(t, events)
	holdUp(t, ctx, m)

	ended := make(chan time.Time, 1)
	began := time.Now()
	go func() {
		m.Terminate()
		ended <- time.Now()
	}()
	last, shown, late := began, 0, time.Duration(0)
	timers := clienttest.Lateness(t)
	for over := false; !over; {
		select {
		case _, ok := <-renewals:
			if !ok {
				t.Fatalf("the lease is lost %v after the server was asked to end", time.Since(began))
			}
			late = timers.Sum()
			if last = time.Now(); last.Sub(began) > 4*time.Second {
				continue // it may end at any moment
			}
			shown++
			if _, err := writer.Put(ctx, "k", fmt.Sprint(shown)); err != nil {
				t.Fatal(err)
			}
			if r := next(t, events); r.Err() != nil || len(r.Events) != 1 ||
				string(r.Events[0].Kv.Value) != fmt.Sprint(shown) {
				t.Fatalf("the watch has %+v, %v; want %d", r.Events, r.Err(), shown)
			}
		case at := <-ended:
			over = true
			if took := at.Sub(began); took < 5*time.Second || shown == 0 {
				t.Fatalf("the server ended after %v, so this shows nothing", took)
			}
			if gap, late := at.Sub(last), timers.Sum()-late; gap-late > 2*time.Second {
				t.Errorf("the last renewal was %v before the server's end; timers were late by %v", gap, late)
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

// holdUp opens a stream that a member waits for when it is asked to end.
func holdUp(t *testing.T, ctx context.Context, m *etcdtest.Member) {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(m.Endpoint, "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("held")}},
	}
	if err := w.Send(create); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
}
