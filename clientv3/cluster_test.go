package clientv3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

func TestMembership(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, long)
	for _, opts := range [][]clientv3.OpOption{nil, {clientv3.WithSerializable()}} {
		if l, err := c.MemberList(ctx, opts...); err != nil || len(l.Members) != 3 {
			t.Fatalf("%v, %v", l, err)
		}
	}
	var added *clientv3.MemberAddResponse
	await(t, "the members have been up for long enough to take another one", func() (ok bool) {
		var err error
		added, err = c.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
		if err != nil && err != rpctypes.ErrUnhealthy && err != rpctypes.ErrMemberNotEnoughStarted {
			t.Fatal(err)
		}
		return err == nil
	})
	id := added.Member.ID
	if !added.Member.IsLearner || len(added.Members) != 4 {
		t.Errorf("%v", added)
	}
	if r, err := c.MemberUpdate(ctx, id, []string{"http://127.0.0.1:2"}); err != nil || len(r.Members) != 4 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.MemberPromote(ctx, id); err != rpctypes.ErrMemberLearnerNotReady {
		t.Errorf("promoting a learner that never started: %v", err)
	}
	twice := rpctypes.ErrPeerURLExist
	if !serverAtLeast(t, "3.5") {
		// The server first checks whether all members are connected, learners too.
		twice = rpctypes.ErrUnhealthy
	}
	if _, err := c.MemberAdd(ctx, []string{"http://127.0.0.1:2"}); err != twice {
		t.Errorf("adding a URL twice: %v", err)
	}
	if r, err := c.MemberRemove(ctx, id); err != nil || len(r.Members) != 3 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.MemberRemove(ctx, id); err != rpctypes.ErrMemberNotFound {
		t.Errorf("removing again: %v", err)
	}
}

func TestMaintenance(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, long)
	if _, err := c.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	leaders := 0
	hashes := make(map[uint32]int)
	var follower uint64
	for _, ep := range cl.Endpoints() {
		s, err := c.Status(ctx, ep)
		if err != nil {
			t.Fatal(err)
		}
		if s.Leader == s.Header.MemberId {
			leaders++
		} else {
			follower = s.Header.MemberId
		}
		await(t, "the member has applied the put", func() bool {
			h, err := c.HashKV(ctx, ep, 2)
			if err == nil {
				hashes[h.Hash]++
			}
			return err == nil
		})
		if _, err := c.Defragment(ctx, ep); err != nil {
			t.Error(err)
		}
	}
	if leaders != 1 || len(hashes) != 1 {
		t.Errorf("%d leaders, hashes %v", leaders, hashes)
	}
	if _, err := c.MoveLeader(ctx, follower); err != nil {
		t.Errorf("moving the leader: %v", err)
	}
	if _, err := c.MoveLeader(ctx, 12345); err != rpctypes.ErrBadLeaderTransferee {
		t.Errorf("moving it to nobody: %v", err)
	}
	_, err := c.Downgrade(ctx, clientv3.DowngradeValidate, "9.9.9")
	if serverAtLeast(t, "3.5") {
		if err != rpctypes.ErrInvalidDowngradeTargetVersion {
			t.Errorf("downgrade upwards: %v", err)
		}
	} else if clientv3.Code(err) != codes.Unimplemented || clientv3.OutcomeUnknown(err) {
		t.Errorf("downgrade on a server that does not know it: %v", err)
	}
	if r, err := c.AlarmList(ctx); err != nil || len(r.Alarms) != 0 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestStatusOfOtherEndpoints(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[:1]})
	ctx := ctxFor(t, long)
	for range 3 {
		for _, ep := range cl.Endpoints() {
			if _, err := c.Status(ctx, "http://"+ep); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := c.Status(clientv3.WithFailFast(ctx), refusing(t)); !clientv3.SafeToRetry(err) ||
		clientv3.Code(err) != codes.Unavailable {
		t.Errorf("status of a dead endpoint, failing fast: %v", err)
	}
}

// A call to a certain endpoint waits for its server to start, as all calls do.
func TestCallsToOneEndpointWaitForStartingServer(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	own, foreign := cl.Members()[0], cl.Members()[1]
	c := dial(t, clientv3.Config{Endpoints: []string{own.Endpoint}})
	works(t, c)
	for name, m := range map[string]*etcdtest.Member{"the client's": own, "another": foreign} {
		for what, call := range map[string]func(context.Context) error{
			"status": func(ctx context.Context) error { return second(c.Status(ctx, m.Endpoint)) },
			"hash":   func(ctx context.Context) error { return second(c.HashKV(ctx, m.Endpoint, 0)) },
			"defrag": func(ctx context.Context) error { return second(c.Defragment(ctx, m.Endpoint)) },
		} {
			m.Proxy().Cut()
			await(t, "the connection is refused", func() bool {
				_, err := c.Status(clientv3.WithFailFast(ctxFor(t, long)), m.Endpoint)
				return clientv3.Code(err) == codes.Unavailable
			})
			if err := call(ctxFor(t, 300*time.Millisecond)); err != context.DeadlineExceeded {
				t.Errorf("%s of %s endpoint: %v", what, name, err)
			}
			heal := time.AfterFunc(200*time.Millisecond, func() {
				if err := m.Proxy().Heal(); err != nil {
					t.Error(err)
				}
			})
			if err := call(ctxFor(t, long)); err != nil {
				t.Errorf("%s of %s endpoint that starts: %v", what, name, err)
			}
			heal.Stop()
		}
	}
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Args: []string{"--quota-backend-bytes=1000000"}})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, long)
	big := string(bytes.Repeat([]byte("x"), 100<<10))
	var err error
	for err == nil { // etcd knows its size once it has committed, every 100 ms
		_, err = c.Put(ctx, "k", big)
	}
	if err != rpctypes.ErrNoSpace || clientv3.OutcomeUnknown(err) {
		t.Fatalf("writing above the quota: %v", err)
	}
	await(t, "the alarm is raised", func() bool {
		r, err := c.AlarmList(ctx)
		return err == nil && len(r.Alarms) == 1
	})
	if r, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil || len(r.Alarms) != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := c.AlarmList(ctx); err != nil || len(r.Alarms) != 0 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestSnapshot(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	if _, err := c.Put(ctx, t.Name(), "v"); err != nil {
		t.Fatal(err)
	}
	clienttest.StorageKnown(t, c)
	s, err := c.SnapshotWithVersion(ctx)
	// Servers say their version since 3.6.
	if err != nil || (s.Version != "") != serverAtLeast(t, "3.6") {
		t.Fatalf("%+v, %v", s, err)
	}
	data, err := io.ReadAll(s.Snapshot)
	if err != nil || len(data) < 1024 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	db, digest := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if sum := sha256.Sum256(db); !bytes.Equal(sum[:], digest) {
		t.Error("the digest at the end is not that of the database")
	}
	if err := s.Snapshot.Close(); err != nil {
		t.Error(err)
	}
	r, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(r); err == nil {
		t.Error("a closed snapshot was read to its end")
	}
	cut, cancel := context.WithCancel(ctx)
	r, err = c.Snapshot(cut)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
}

// A snapshot that is read too late fails with the context's error, even if all of it has arrived.
func TestSnapshotReadTooLate(t *testing.T) {
	t.Parallel()
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Start(t, etcdtest.Options{}).Endpoints()})
	for _, k := range []string{"a", "b", "c"} {
		if _, err := c.Put(ctxFor(t, long), k, strings.Repeat("x", 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := ctxFor(t, 3*time.Second)
	r, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	<-ctx.Done()
	if n, err := io.Copy(io.Discard, r); err != context.DeadlineExceeded {
		t.Errorf("%d bytes, then %v", n, err)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[:1]})
	if err := c.Sync(ctxFor(t, long)); err != nil {
		t.Fatal(err)
	}
	if eps := c.Endpoints(); len(eps) != 3 {
		t.Errorf("endpoints after Sync: %v", eps)
	}
	cl.Members()[0].Kill()
	if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
		t.Errorf("the endpoints found by Sync are not used: %v", err)
	}
	auto := dial(t, clientv3.Config{Endpoints: cl.Endpoints()[1:2], AutoSyncInterval: 50e6})
	await(t, "the endpoints are synchronized", func() bool { return len(auto.Endpoints()) == 3 })
}

func TestSetEndpoints(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: []string{refusing(t)}})
	ch := make(chan clientv3.WatchChan)
	go func() { ch <- c.Watch(ctxFor(t, 2*long), "k") }()
	c.SetEndpoints(cl.Endpoints()[:1]...)
	watch := <-ch
	if _, err := c.Put(ctxFor(t, long), "k", "1"); err != nil {
		t.Fatal(err)
	}
	next(t, watch)
	for i, eps := range [][]string{cl.Endpoints()[1:2], cl.Endpoints()[2:], cl.Endpoints()} {
		c.SetEndpoints(eps...)
		if _, err := c.Put(ctxFor(t, long), "k", "v"); err != nil {
			t.Fatalf("endpoints %v: %v", eps, err)
		}
		if r := next(t, watch); r.Err() != nil || len(r.Events) != 1 {
			t.Errorf("the watch after change %d: %+v", i, r)
		}
	}
	c.SetEndpoints()
	c.SetEndpoints("nonsense")
	if err := c.UpdateEndpoints(); err != clientv3.ErrNoAvailableEndpoints {
		t.Errorf("no endpoints: %v", err)
	}
	if err := c.UpdateEndpoints("http://a:1", "https://b:1"); err == nil {
		t.Error("mixed endpoints were taken")
	}
	if eps := c.Endpoints(); len(eps) != 3 {
		t.Errorf("refused endpoints changed something: %v", eps)
	}
	if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
		t.Error(err)
	}
}

// MoveLeader finds a leader whose first connection is still being made.
func TestMoveLeaderOfAFreshClient(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	leader, follower := cluster.Leader(t), cluster.Followers(t)[0]
	to, err := follower.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	far, err := faultnet.New(leader.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	far.Delay(300 * time.Millisecond)
	c := dial(t, clientv3.Config{Endpoints: []string{follower.Endpoint, far.Addr()}})
	if _, err := c.Status(ctxFor(t, long), follower.Endpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := c.MoveLeader(ctxFor(t, long), to); err != nil {
		t.Error(err)
	}
}
