package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

var ok = clienttest.OK

// counter checks that consistent reads never see less than was acknowledged before they
// began, nor less than an earlier read has seen.
type counter struct {
	acked atomic.Int64
	reads atomic.Int64
	wg    sync.WaitGroup
	stop  context.CancelFunc
}

func count(t *testing.T, w, kv clientv3.KV, key, elsewhere string, readers int) *counter {
	c := &counter{}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.wg.Go(func() {
		for ctx.Err() == nil {
			// Guarded, since an unanswered write may be executed long after its repetition.
			var n, rev int64
			r, err := w.Get(ctx, key)
			if err != nil {
				continue
			}
			if len(r.Kvs) > 0 {
				rev = r.Kvs[0].ModRevision
				n, _ = strconv.ParseInt(string(r.Kvs[0].Value), 10, 64)
			}
			n++
			// Without WithRepeat a write on a member that stays frozen would wait for 30 s. It is
			// safe here: the transaction is guarded, and nobody else writes the other key.
			wctx := clientv3.WithRepeat(ctx)
			done, err := w.Txn(wctx).
				If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).
				Then(clientv3.OpPut(key, fmt.Sprint(n))).
				Commit()
			if err == nil && done.Succeeded {
				c.acked.Store(n)
			}
			_, _ = w.Put(wctx, elsewhere, "") // progress is needed to be sure
		}
	})
	var seen atomic.Int64
	for range readers {
		c.wg.Go(func() {
			for ctx.Err() == nil {
				least := max(c.acked.Load(), seen.Load())
				r, err := kv.Get(ctx, key)
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("Get: %v", err)
					}
					return
				}
				var n int64
				if len(r.Kvs) > 0 {
					n, _ = strconv.ParseInt(string(r.Kvs[0].Value), 10, 64)
				}
				if n < least {
					t.Errorf("read %d after %d (revision %d)", n, least, r.Header.Revision)
					return
				}
				for old := seen.Load(); n > old && !seen.CompareAndSwap(old, n); old = seen.Load() {
				}
				c.reads.Add(1)
			}
		})
	}
	return c
}

// goOn waits for more reads and writes.
func (c *counter) goOn(t *testing.T, reads, writes int64) {
	t.Helper()
	r, w := c.reads.Load()+reads, c.acked.Load()+writes
	clienttest.Await(
		t,
		"reads and writes",
		func() bool { return t.Failed() || (c.reads.Load() >= r && c.acked.Load() >= w) },
	)
}

func (c *counter) end() {
	c.stop()
	c.wg.Wait()
}

func TestConsistent(t *testing.T) {
	c := clienttest.Shared(t)
	ca := open(t, c, []string{t.Name() + "/"})
	n := count(t, c, ca, t.Name()+"/n", t.Name()+"elsewhere", 16)
	defer n.end()
	n.goOn(t, 5000, 500)
}

// TestConsistentThroughFaults: members freeze and come back, the leader too.
func TestConsistentThroughFaults(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := clienttest.Dial(t, cl.Endpoints()...)
	ca := open(t, c, []string{"p/"})
	n := count(t, c, ca, "p/n", "elsewhere", 8)
	defer n.end()
	for _, m := range []*etcdtest.Member{cl.Followers(t)[0], cl.Leader(t), cl.Followers(t)[1]} {
		n.goOn(t, 200, 20)
		ok(t, "Freeze", m.Freeze())
		n.goOn(t, 50, 5)
		ok(t, "Thaw", m.Thaw())
		n.goOn(t, 200, 20)
		m.Kill()
		n.goOn(t, 50, 5)
		ok(t, "Restart", m.Restart())
		ok(t, "WaitReady", m.WaitReady(within(t)))
	}
	n.goOn(t, 200, 20)
}

// behindProxy is a server that can be cut off from the cache, and a client that is not.
func behindProxy(t *testing.T) (m *etcdtest.Member, through, direct *clientv3.Client) {
	m = etcdtest.Start(t, etcdtest.Options{Proxied: true}).Members()[0]
	return m, clienttest.Dial(t, m.Endpoint), clienttest.Dial(t, m.Direct)
}

// TestSerializableReadsGoOnInAnOutage: serializable reads go on and report their age; calls end
// with their contexts.
func TestSerializableReadsGoOnInAnOutage(t *testing.T) {
	m, c, direct := behindProxy(t)
	put(t, direct, "p/a", "1")
	ca := open(t, c, []string{"p/"})
	w := ca.Watch(within(t), "p/", clientv3.WithPrefix())
	clienttest.Await(t, "connected", func() bool { return ca.States()[0].Connected })
	m.Proxy().Refuse()
	m.Proxy().Cut()
	put(t, direct, "p/a", "2")
	clienttest.Await(t, "the copy is known to be old", func() bool {
		s := ca.States()[0]
		return !s.Connected && s.Age > time.Second
	})
	if got := value(t, ca, "p/a", clientv3.WithSerializable()); got != "1" {
		t.Errorf("a is %s", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := ca.Get(ctx, "p/a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a consistent read: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := ca.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync: %v", err)
	}
	ok(t, "Heal", m.Proxy().Heal())
	if got := value(t, ca, "p/a"); got != "2" {
		t.Errorf("afterwards a is %s", got)
	}
	if got := text(take(t, w, 1)); got != "PUT a=2" {
		t.Errorf("the watch: %s", got)
	}
	clienttest.Await(t, "connected again", func() bool { return ca.States()[0].Connected })
}

// TestSilentConnectionMakesNoReadWrong: the watch's connection is silent and reads time out, none
// is wrong.
func TestSilentConnectionMakesNoReadWrong(t *testing.T) {
	m, c, direct := behindProxy(t)
	put(t, direct, "p/a", "1")
	ca := open(t, c, []string{"p/"})
	m.Proxy().BlackHole()
	put(t, direct, "p/a", "2")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if r, err := ca.Get(ctx, "p/a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a consistent read: %v, %v", r, err)
	}
	ok(t, "Heal", m.Proxy().Heal())
	if got := value(t, ca, "p/a"); got != "2" {
		t.Errorf("afterwards a is %s", got)
	}
}

// TestCompactedWhileAway: the events are compacted; the difference is delivered.
func TestCompactedWhileAway(t *testing.T) {
	m, c, direct := behindProxy(t)
	for _, k := range []string{"a", "b", "c", "d"} {
		put(t, direct, "p/"+k, "1")
	}
	ca := open(t, c, []string{"p/"})
	var calls atomic.Int64
	v, err := cache.NewView(ca, "p/", decoder(&calls))
	ok(t, "NewView", err)
	ok(t, "Sync", v.Sync(within(t)))
	w := ca.Watch(within(t), "p/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	one := ca.Watch(within(t), "p/b")
	m.Proxy().Refuse()
	m.Proxy().Cut()
	put(t, direct, "p/a", "2")
	remove(t, direct, "p/b")
	put(t, direct, "p/e", "1")
	remove(t, direct, "p/e")
	put(t, direct, "p/f", "1")
	rev := put(t, direct, "p/a", "3")
	_, err = direct.Compact(within(t), rev)
	ok(t, "Compact", err)
	ok(t, "Heal", m.Proxy().Heal())
	r := clienttest.Receive(t, "the difference", w)
	if got := text(r.Events); !r.Synthesized || got != "PUT f=1 PUT a=3(1) DELETE b(1)" || r.Err() != nil {
		t.Errorf("%v, %s, %v", r.Synthesized, got, r.Err())
	}
	if got := text(take(t, one, 1)); got != "DELETE b" {
		t.Errorf("the watch on one key: %s", got)
	}
	put(t, direct, "p/a", "4")
	r = clienttest.Receive(t, "what follows", w)
	if got := text(r.Events); r.Synthesized || got != "PUT a=4(3)" {
		t.Errorf("%v, %s", r.Synthesized, got)
	}
	ok(t, "Sync", v.Sync(within(t)))
	if h, _ := v.Get("p/a"); h.name != "4" || v.Len() != 4 || calls.Load() != 7 {
		t.Errorf("the view has %v of %d, after %d calls", h, v.Len(), calls.Load())
	}
	if s := ca.States()[0]; s.Lists != 2 || s.Resets != 0 || s.Keys != 4 {
		t.Errorf("%+v", s)
	}
}

// TestCopyFollowsARestore: revisions go back with a backup; the copy becomes what the backup has,
// and consistent reads do not wait for revisions that will not come.
func TestCopyFollowsARestore(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cl.Endpoints()...)
	put(t, c, "p/a", "old")
	put(t, c, "p/b", "old")
	backup := clienttest.Backup(t, cl)
	ca := open(t, c, []string{"p/"})
	w := ca.Watch(within(t), "p/", clientv3.WithPrefix())
	var calls atomic.Int64
	v, err := cache.NewView(ca, "p/", decoder(&calls))
	ok(t, "NewView", err)
	for i := range 20 {
		put(t, c, "p/a", fmt.Sprint("new", i))
	}
	put(t, c, "p/c", "new")
	remove(t, c, "p/b")
	take(t, w, 22)
	clienttest.PutBack(t, cl, backup)
	if got := value(t, ca, "p/a"); got != "old" {
		t.Errorf("a is %s", got)
	}
	r := clienttest.Receive(t, "the difference", w)
	if got := text(r.Events); !r.Synthesized || got != "PUT a=old PUT b=old DELETE c" {
		t.Errorf("%v, %s, %v", r.Synthesized, got, r.Err())
	}
	clienttest.Await(t, "the reset", func() bool { return ca.States()[0].Resets == 1 })
	put(t, c, "p/d", "after")
	if got := text(take(t, w, 1)); got != "PUT d=after" {
		t.Errorf("the watch goes on with %s", got)
	}
	s, err := ca.Sync(within(t))
	ok(t, "Sync", err)
	ok(t, "View.Sync", v.Sync(within(t)))
	if s.Len() != 3 || v.Len() != 3 {
		t.Errorf("%d keys, %d in the view", s.Len(), v.Len())
	}
	got := text(take(t, ca.Watch(within(t), "p/", clientv3.WithPrefix(), clientv3.WithRev(s.Revision())), 1))
	if got != "PUT d=after" {
		t.Errorf("a watch from the past: %s", got)
	}
}

// TestBehindGRPCProxy: the proxy gives no progress; reads are right all the same.
func TestBehindGRPCProxy(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, etcdtest.Proxy(t, cl))
	direct := clienttest.Dial(t, cl.Endpoints()...)
	ca := open(t, c, []string{"p/"})
	n := count(t, direct, ca, "p/n", "elsewhere", 4)
	defer n.end()
	n.goOn(t, 300, 30)
}

func TestOldServers(t *testing.T) {
	for _, version := range []string{"3.4", "3.5", "3.6"} {
		t.Run(version, func(t *testing.T) {
			cl := etcdtest.Start(t, etcdtest.Options{Version: version})
			c := clienttest.Dial(t, cl.Endpoints()...)
			ca := open(t, c, []string{"p/"})
			n := count(t, c, ca, "p/n", "elsewhere", 4)
			defer n.end()
			n.goOn(t, 300, 30)
		})
	}
}

func TestPermissionDenied(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	root := clienttest.Dial(t, cl.Endpoints()...)
	ctx := within(t)
	do := func(_ any, err error) {
		t.Helper()
		ok(t, "set up", err)
	}
	do(root.RoleAdd(ctx, "some"))
	do(
		root.RoleGrantPermission(
			ctx,
			"some",
			"mine/",
			clientv3.GetPrefixRangeEnd("mine/"),
			clientv3.PermissionType(clientv3.PermReadWrite),
		),
	)
	do(root.UserAdd(ctx, "root", "r"))
	do(root.UserGrantRole(ctx, "root", "root"))
	do(root.UserAdd(ctx, "u", "p"))
	do(root.UserGrantRole(ctx, "u", "some"))
	do(root.AuthEnable(ctx))
	c, err := clientv3.New(clientv3.Config{Endpoints: cl.Endpoints(), Username: "u", Password: "p"})
	ok(t, "New", err)
	defer c.Close()
	ca := open(t, c, []string{"mine/"})
	put(t, ca, "mine/a", "1")
	if got := value(t, ca, "mine/a"); got != "1" {
		t.Errorf("a is %s", got)
	}
	denied, err := cache.New(c, []string{"mine/", "other/"})
	ok(t, "New", err)
	defer denied.Close()
	if err := denied.WaitReady(ctx); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("WaitReady: %v", err)
	}
}
