package clientv3_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// load makes calls at a steady rate and notes what failed.
type load struct {
	calls  atomic.Int64
	mu     sync.Mutex
	failed []failure // guarded by mu
}

type failure struct {
	read  bool
	began time.Time
	err   error
}

func (f failure) String() string {
	return fmt.Sprintf("read %t, begun %v: %v", f.read, f.began.Format("15:04:05.000"), f.err)
}

// patience is each call's deadline. It is long because the machine that runs the
// tests may stand still for a second; the figures with 1 s are a report of bench/.
const patience = 5 * time.Second

// run makes rate calls a second for d, half reads and half writes.
func (l *load) run(c *clientv3.Client, rate int, d time.Duration) {
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end); i++ {
		<-tick.C
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			f := failure{read: i%2 == 0, began: time.Now()}
			if f.read {
				_, f.err = c.Get(ctx, fmt.Sprint("load/", i%10))
			} else {
				_, f.err = c.Put(ctx, fmt.Sprint("load/", i%10), "v")
			}
			l.calls.Add(1)
			if f.err != nil {
				l.mu.Lock()
				l.failed = append(l.failed, f)
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// followLeader observes who leads until stop is called. stop returns since when the same member has
// led, as the servers say. So a test judges the client by the servers' state, not by how long an
// election takes on this machine.
func followLeader(cl *etcdtest.Cluster) (stop func() time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	since := make(chan time.Time, 1)
	go func() {
		var leader *etcdtest.Member
		at := time.Now()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			began := time.Now()
			m, err := cl.FindLeader(ctx)
			if err != nil {
				break
			}
			// A search that took long has waited for a leader.
			if now := time.Now(); m != leader || now.Sub(began) > time.Second {
				leader, at = m, now
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		since <- at
	}()
	return func() time.Time {
		cancel()
		return <-since
	}
}

// learning is how long after an election the client may still send writes to members that lose
// them: it has to find out which members it can use.
const learning = 3 * time.Second

// TestFrozenMember: one of three members stops answering. Of the calls that it held only writes
// fail, since they are not repeated. If the leader is frozen, all writes fail until another one is
// elected, since the members forward them to it. Watches and leases go on.
func TestFrozenMember(t *testing.T) {
	t.Parallel()
	for _, leader := range []bool{false, true} {
		t.Run(map[bool]string{false: "follower", true: "leader"}[leader], func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
			c := dial(t,
				clientv3.Config{Endpoints: cl.Endpoints(), Logger: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))})
			var warm, during load
			warm.run(c, 100, time.Second)
			if len(warm.failed) != 0 {
				t.Fatalf("%d calls failed before the fault: %v", len(warm.failed), warm.failed)
			}
			var watches []clientv3.WatchChan
			for range 6 {
				watches = append(watches, c.Watch(ctxFor(t, 2*long), "watched"))
			}
			g, err := c.Grant(ctxFor(t, long), 5)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := c.KeepAlive(ctxFor(t, 2*long), g.ID)
			if err != nil {
				t.Fatal(err)
			}
			victim := cl.Followers(t)[0]
			if leader {
				victim = cl.Leader(t)
			}
			if err := victim.Freeze(); err != nil {
				t.Fatal(err)
			}
			frozen := time.Now()
			stop := followLeader(cl)
			during.run(c, 100, 6*time.Second)
			led := stop()
			t.Logf(
				"%d calls, %d failed; the last leader since %v after the fault",
				during.calls.Load(),
				len(during.failed),
				led.Sub(frozen),
			)
			for _, f := range during.failed {
				if f.began.After(led.Add(learning)) {
					t.Errorf("a call failed long after the election, %v after the fault: %v", f.began.Sub(frozen), f)
				}
				if f.read && !leader {
					t.Errorf("a read failed although two members could have answered: %v", f)
				}
			}
			if n := len(during.failed); !leader && n*10 > int(during.calls.Load()) {
				t.Errorf(
					"%d of %d calls failed: a member that does not answer takes its share of them",
					n,
					during.calls.Load(),
				)
			}
			if _, err := c.Put(ctxFor(t, long), "watched", "after"); err != nil {
				t.Fatal(err)
			}
			for i, w := range watches {
				select {
				case r := <-w:
					if r.Err() != nil || string(r.Events[0].Kv.Value) != "after" {
						t.Errorf("watch %d: %+v", i, r)
					}
				case <-time.After(long):
					t.Errorf("watch %d is silent", i)
				}
			}
			if r, err := c.TimeToLive(ctxFor(t, long), g.ID); err != nil || r.TTL <= 0 {
				t.Errorf("the lease is lost: %v, %v", r, err)
			}
			for len(kept) > 0 { // those from before the fault
				<-kept
			}
			clienttest.Receive(t, "a renewal", kept)
			for _, s := range c.MemberStates() {
				t.Logf("%+v", s)
			}
			if err := victim.Thaw(); err != nil {
				t.Fatal(err)
			}
			await(t, "the thawed member is used again", func() bool {
				for _, s := range c.MemberStates() {
					if s.State != "healthy" {
						return false
					}
				}
				return true
			})
		})
	}
}

// await polls for a condition that has no channel to wait on.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(long)
	defer limit.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not reached: %s", what)
		}
	}
}
