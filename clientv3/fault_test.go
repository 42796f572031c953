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
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// load makes calls at a steady rate and notes what failed.
type load struct {
	calls, failed atomic.Int64
	mu            sync.Mutex
	last          map[string]time.Time // kind of call to when the last one that failed was made
	errs          map[string]error
}

// patience is each call's deadline. It is long because the machine that runs the
// tests may stand still for a second; the figures with 1 s are a report of bench/.
const patience = 5 * time.Second

// run makes rate calls a second for d, half reads and half writes.
func (l *load) run(c *clientv3.Client, rate int, d time.Duration) {
	l.last, l.errs = make(map[string]time.Time), make(map[string]error)
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end); i++ {
		<-tick.C
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			kind, made, err := "read", time.Now(), error(nil)
			if i%2 == 0 {
				_, err = c.Get(ctx, fmt.Sprint("load/", i%10))
			} else {
				kind = "write"
				_, err = c.Put(ctx, fmt.Sprint("load/", i%10), "v")
			}
			l.calls.Add(1)
			if err != nil {
				l.failed.Add(1)
				l.mu.Lock()
				if made.After(l.last[kind]) {
					l.last[kind], l.errs[kind] = made, err
				}
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestFrozenMember: one of three members stops answering. Reads do not fail, writes
// only for a moment, and watches and leases go on.
func TestFrozenMember(t *testing.T) {
	for _, leader := range []bool{false, true} {
		t.Run(map[bool]string{false: "follower", true: "leader"}[leader], func(t *testing.T) {
			cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
			c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Logger: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))})
			var warm, during load
			warm.run(c, 100, time.Second)
			if n := warm.failed.Load(); n != 0 {
				t.Fatalf("%d calls failed before the fault: %v", n, warm.errs)
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
			during.run(c, 100, 7*time.Second)
			t.Logf("%d calls, %d failed", during.calls.Load(), during.failed.Load())
			for kind, at := range during.last {
				t.Logf("last failed %s made %v after the fault: %v", kind, at.Sub(frozen), during.errs[kind])
				if at.Sub(frozen) > 5*time.Second {
					t.Errorf("%ss made %v after the fault still failed", kind, at.Sub(frozen))
				}
			}
			if _, failed := during.last["read"]; failed && !leader {
				t.Error("a read failed although two members could have answered")
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
			select {
			case _, ok := <-kept:
				if !ok {
					t.Error("the lease was reported lost")
				}
			default:
				t.Error("no renewal arrived")
			}
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
