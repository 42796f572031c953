package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

func watchedLog(t *testing.T) *zap.Logger {
	return zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
}

// Three members are stopped and started one after the other, as in an upgrade: no
// write fails, and none is executed twice.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Logger: watchedLog(t)})
	works(t, c)
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	var wg sync.WaitGroup
	defer wg.Wait() // also when the test fails
	defer end()
	var mu sync.Mutex
	var failed []error
	written := 0
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), long)
				defer cancel()
				_, err := c.Put(ctx, fmt.Sprintf("rolling/%06d", i), "v")
				mu.Lock()
				defer mu.Unlock()
				written++
				if err != nil {
					failed = append(failed, err)
				}
			})
		}
	})
	// The leader goes last, since an election decides what becomes of the writes under way, not the
	// client.
	leader := cl.Leader(t)
	order := append(cl.Followers(t), leader)
	for i, m := range order {
		if i == len(order)-1 {
			await(t, "the leadership has moved", func() bool { // the client is just reconnecting
				status, err := c.Status(ctxFor(t, long), order[0].Endpoint)
				if err != nil || status.Leader == status.Header.MemberId {
					return err == nil
				}
				_, err = c.MoveLeader(ctxFor(t, long), status.Header.MemberId)
				return err == nil
			})
		}
		m.Terminate()
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := m.WaitReady(ctxFor(t, 2*long)); err != nil {
			t.Fatal(err)
		}
	}
	end()
	wg.Wait()
	unknown := 0
	for _, err := range failed {
		if clientv3.OutcomeUnknown(err) {
			unknown++
		} else {
			t.Errorf("a write failed that could have been repeated: %v", err)
		}
	}
	// The client cannot know whether a stopped server has executed a write that it had received. At
	// 50 writes a second there are one or two of these for each member.
	if unknown > 2*len(order) {
		t.Errorf("%d of %d writes ended unknown: %v", unknown, written, failed[0])
	}
	t.Logf("%d writes, %d with unknown outcome", written, unknown)
	got, err := c.Get(ctxFor(t, long), "rolling/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if n := int(got.Count); n < written-unknown || n > written {
		t.Errorf("%d of %d writes are there, %d of them unknown", n, written, unknown)
	}
	for _, kv := range got.Kvs {
		if kv.Version != 1 {
			t.Errorf("%s was written %d times", kv.Key, kv.Version)
		}
	}
}

// A follower that is cut off from its peers answers health checks, but no calls.
func TestFollowerCutOffFromPeers(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, PeerProxied: true})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Logger: watchedLog(t)})
	var warm, during load
	warm.run(c, 100, time.Second)
	ch := c.Watch(ctxFor(t, 3*long), "watched")
	f := cl.Followers(t)[0]
	if err := f.PartitionFromPeers(); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	during.run(c, 100, 7*time.Second)
	for _, x := range during.failed {
		if x.read || x.began.Sub(cut) > 4*time.Second {
			t.Errorf("%v after the cut: %v", x.began.Sub(cut), x)
		}
	}
	t.Logf("%d calls, %d failed", during.calls.Load(), len(during.failed))
	if _, err := c.Put(ctxFor(t, long), "watched", "v"); err != nil {
		t.Fatal(err)
	}
	next(t, ch)
	if err := f.HealPeers(); err != nil {
		t.Fatal(err)
	}
	await(t, "the member is used again", func() bool {
		_, _ = c.Get(ctxFor(t, long), "k")
		return healthy(c)
	})
}

func healthy(c *clientv3.Client) bool {
	return !slices.ContainsFunc(c.MemberStates(), func(s clientv3.MemberStatus) bool { return s.State != "healthy" })
}

// Defragmenting a member stops it for as long as it takes; calls go elsewhere.
func TestDefragmentUnderLoad(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Logger: watchedLog(t)})
	ctx := ctxFor(t, 3*long)
	big := strings.Repeat("x", 100<<10)
	for i := range 300 {
		if _, err := c.Put(ctx, fmt.Sprint("big/", i), big); err != nil {
			t.Fatal(err)
		}
	}
	var l load
	done := make(chan struct{})
	go func() { defer close(done); l.run(c, 100, 5*time.Second) }()
	for _, ep := range cl.Endpoints() {
		if _, err := c.Defragment(ctx, ep); err != nil {
			t.Error(err)
		}
	}
	<-done
	for _, f := range l.failed {
		if f.read {
			t.Error(f)
		}
	}
	t.Logf("%d calls, %d failed", l.calls.Load(), len(l.failed))
}

// One member is 200 ms away: after a few calls hardly any goes there.
func TestSlowMemberIsAvoided(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	cl.Followers(t)[0].Proxy().Delay(100*time.Millisecond, faultnet.Both)
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Logger: watchedLog(t)})
	await(t, "all members are connected", func() bool { return healthy(c) })
	var took []time.Duration
	for i := range 550 {
		began := time.Now()
		if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
			t.Fatal(err)
		}
		if i >= 50 {
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	far := 0
	for _, d := range took {
		if d >= 200*time.Millisecond {
			far++
		}
	}
	t.Logf(
		"after 50 calls: median %v, 99th percentile %v, %d of %d calls as slow as the slow member",
		took[len(took)/2],
		took[len(took)*99/100],
		far,
		len(took),
	)
	if far > len(took)/20 {
		t.Errorf("%d of %d calls went to the slow member", far, len(took))
	}
}

// Watches on many keys resume together over a link with a delay: their creates do
// not wait for one another.
func TestManyWatchesResumeOverSlowLink(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
	ctx := ctxFor(t, 3*long)
	const n = 1000
	chans := make([]clientv3.WatchChan, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { chans[i] = c.Watch(ctx, fmt.Sprint("many/", i)) })
	}
	wg.Wait()
	m.Proxy().Delay(5*time.Millisecond, faultnet.Both)
	m.Proxy().Reset()
	for i := range n {
		if _, err := direct.Put(ctx, fmt.Sprint("many/", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	m.Proxy().Reset()
	for i, ch := range chans {
		if r := next(t, ch); len(r.Events) != 1 || string(r.Events[0].Kv.Key) != fmt.Sprint("many/", i) {
			t.Fatalf("watch %d: %+v", i, r)
		}
	}
	t.Logf(
		"%d watches had their events %v after the connection was reset",
		n,
		time.Since(began).Round(time.Millisecond),
	)
}

// A name that leads elsewhere is resolved again when dialling fails.
func TestNamesAreResolvedAgain(t *testing.T) {
	t.Parallel()
	a, b := etcdtest.Start(t, etcdtest.Options{}), etcdtest.Start(t, etcdtest.Options{})
	var mu sync.Mutex
	to := a.Endpoints()[0]
	c := dial(t, clientv3.Config{Endpoints: []string{"etcd.example:2379"}, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock() // this dialer stands for the name server
			if addr != "etcd.example:2379" {
				t.Errorf("dialled %s", addr)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", to)
		}),
	}})
	works(t, c)
	mu.Lock()
	to = b.Endpoints()[0]
	mu.Unlock()
	a.Members()[0].Kill()
	await(t, "the new address is used", func() bool {
		_, err := c.Put(ctxFor(t, long), "k", "v")
		return err == nil
	})
}

// A member is reset to an old copy of its data, as from a backup. Some changes that watches have
// delivered are undone. An ordinary watch ends and says so, a resuming one delivers the difference.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{})
	m := cluster.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: []string{m.Endpoint}})
	ctx := ctxFor(t, 3*long)
	put := func(k, v string) {
		t.Helper()
		await(t, "a put succeeds", func() bool { _, err := c.Put(ctx, k, v); return err == nil })
	}
	put("k/old", "1")
	backup := clienttest.Backup(t, cluster)
	w := clientv3.NewResumingWatcher(c, c)
	defer w.Close()
	plain := c.Watch(ctx, "k/", clientv3.WithPrefix())
	resuming := w.Watch(ctx, "k/", clientv3.WithPrefix())
	have := picture{"k/old": "1"}
	for i := range 20 {
		put(fmt.Sprint("k/", i), "v")
	}
	for len(have) < 21 {
		have.apply(next(t, resuming))
	}
	for last := ""; last != "k/19"; {
		r := next(t, plain)
		last = string(r.Events[len(r.Events)-1].Kv.Key)
	}
	clienttest.PutBack(t, cluster, backup)
	r := next(t, plain)
	var lost *clientv3.Error
	if !r.Canceled || !errors.Is(r.Err(), clientv3.ErrHistoryLost) || !errors.As(r.Err(), &lost) {
		t.Errorf("the ordinary watch: %+v, %v", r, r.Err())
	}
	t.Log(r.Err())
	r = next(t, resuming)
	have.apply(r)
	if !r.Synthesized || fmt.Sprint(have) != fmt.Sprint(picture{"k/old": "1"}) {
		t.Errorf("the resuming watch: synthesized %v, the consumer has %v", r.Synthesized, have)
	}
	put("k/new", "2")
	if r := next(t, resuming); r.Synthesized || string(r.Events[0].Kv.Value) != "2" {
		t.Errorf("afterwards: %+v", r)
	}
}
