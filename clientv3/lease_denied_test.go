package clientv3_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// forbidden: the key of the i-th lease is below other/, to which the user has no right for ever.
func forbidden(i int) bool { return i%4 == 1 }

// leaseOfKey grants the i-th lease, and puts its key.
func leaseOfKey(t *testing.T, ctx context.Context, c *clientv3.Client, i int, ttl int64) clientv3.LeaseID {
	t.Helper()
	lease, err := c.Grant(ctx, ttl)
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprint("user/", i)
	if forbidden(i) {
		key = fmt.Sprint("other/", i)
	}
	if _, err := c.Put(ctx, key, "", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	return lease.ID
}

// rightToOther gives the user the right to the keys below other/, or takes it away.
func rightToOther(t *testing.T, ctx context.Context, root *clientv3.Client, given bool) {
	t.Helper()
	end := clientv3.GetPrefixRangeEnd("other/")
	var err error
	if given {
		_, err = root.RoleGrantPermission(ctx, "app", "other/", end, clientv3.PermissionType(clientv3.PermReadWrite))
	} else {
		_, err = root.RoleRevokePermission(ctx, "app", "other/", end)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestForbiddenLeaseLeavesTheOthersAlive: etcd renews no lease for a user who may not write one of
// its keys, and ends the stream. The user's other leases live on; so does that one if the right
// comes back in time.
func TestForbiddenLeaseLeavesTheOthersAlive(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	ctx := ctxFor(t, 2*long)
	right := func(given bool) {
		t.Helper()
		rightToOther(t, ctx, root, given)
	}
	right(true)
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	var renewals [12]atomic.Int32
	ended := make(chan int, len(renewals))
	for i := range renewals {
		ch, err := c.KeepAlive(ctx, leaseOfKey(t, ctx, c, i, 5))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range ch {
				renewals[i].Add(1)
			}
			ended <- i
		}()
	}
	// all waits until each of the leases has been renewed again, so many times.
	all := func(what string, times int32, of func(int) bool) {
		t.Helper()
		var from [len(renewals)]int32
		for i := range renewals {
			from[i] = renewals[i].Load()
		}
		await(t, what, func() bool {
			for i := range renewals {
				if of(i) && renewals[i].Load() < from[i]+times {
					return false
				}
			}
			return true
		})
	}
	everyone := func(int) bool { return true }
	others := func(i int) bool { return !forbidden(i) }
	all("renewals", 1, everyone)
	right(false)
	all("renewals of the others", 1, others) // the forbidden ones have a third of their TTL then
	right(true)
	all("renewals of all, with the right back", 2, everyone)
	right(false)
	for lost := 0; lost < 3; {
		select {
		case i := <-ended:
			if !forbidden(i) {
				t.Fatalf("lease %d was lost, with whose key nothing is wrong", i)
			}
			lost++
		case <-time.After(long):
			t.Fatalf("%d leases that may not be renewed were lost", lost)
		}
	}
	all("renewals of the others, after the loss", 2, others)
	select {
	case i := <-ended:
		t.Errorf("lease %d was lost", i)
	default:
	}
}

// TestManyForbiddenLeasesFarAway: each stream finds one forbidden lease in a round trip. The others
// do not expire meanwhile. There are no more of them than a machine that stands still for a round
// trip has time for; internal/lease has tests of many, in a time of their own.
func TestManyForbiddenLeasesFarAway(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		leases, ttl int
		roundTrip   time.Duration
	}{{80, 10, 500 * time.Millisecond}, {200, 5, 400 * time.Millisecond}} {
		t.Run(fmt.Sprint(x.leases), func(t *testing.T) {
			t.Parallel()
			cl := withAuth(t, etcdtest.Options{Members: 3})
			if lost, late := forbidMany(t, cl, x.leases, int64(x.ttl), x.roundTrip); len(lost) > 0 {
				t.Errorf("lost, with whose keys nothing is wrong: %d; timers were late by %v", lost, late)
			}
		})
	}
}

// forbidMany returns those that were lost though they are not forbidden, and by how much timers
// were late since the others were forbidden.
func forbidMany(
	t *testing.T, cl *etcdtest.Cluster, leases int, ttl int64, roundTrip time.Duration,
) (lost []int, late time.Duration) {
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	ctx := ctxFor(t, 2*long)
	rightToOther(t, ctx, root, true)
	near := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	c := dial(t, clientv3.Config{
		Endpoints: far(t, cl, roundTrip), Username: "user", Password: "pass",
	})
	channels := make([]<-chan *clientv3.LeaseKeepAliveResponse, leases)
	for i := range channels {
		var err error
		if channels[i], err = c.KeepAlive(ctx, leaseOfKey(t, ctx, near, i, ttl)); err != nil {
			t.Fatal(err)
		}
	}
	for i, ch := range channels {
		if _, ok := <-ch; !ok {
			t.Fatalf("lease %d was not renewed", i)
		}
	}
	timers := clienttest.Lateness(t)
	rightToOther(t, ctx, root, false)
	for i, ch := range channels {
		for ok := forbidden(i); ok; {
			select {
			case _, ok = <-ch:
			case <-time.After(long):
				t.Fatalf("lease %d, which may not be renewed, was not lost", i)
			}
		}
	}
	late = timers.Sum()
	for i, ch := range channels {
		for n := len(ch); !forbidden(i) && n >= 0; n-- {
			select {
			case _, ok := <-ch:
				if !ok {
					lost, n = append(lost, i), 0
				}
			default:
			}
		}
	}
	return lost, late
}

// TestNoQuestionBeforeAStreamThatReplacesAnother: who leads is asked beside it, since its leases
// have waited for a round trip already.
func TestNoQuestionBeforeAStreamThatReplacesAnother(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{Members: 3})
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	ctx := ctxFor(t, 2*long)
	rightToOther(t, ctx, root, true)
	near := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	timers := clienttest.Lateness(t)
	var ended, late atomic.Int64
	replaced := make(chan time.Duration, 1)
	c := dial(t, clientv3.Config{
		Endpoints: far(t, cl, 400*time.Millisecond), Username: "user", Password: "pass",
		Hooks: clientv3.Hooks{Stream: func(s clientv3.StreamInfo) {
			if s.Service != "Lease" {
				return
			}
			now := time.Now().UnixNano()
			if s.Ended {
				late.Store(int64(timers.Sum()))
				ended.CompareAndSwap(0, now)
			} else if was := ended.Load(); was > 0 {
				select {
				case replaced <- time.Duration(now-was) - timers.Sum() + time.Duration(late.Load()):
				default:
				}
			}
		}},
	})
	var channels []<-chan *clientv3.LeaseKeepAliveResponse
	for i := range 2 {
		ch, err := c.KeepAlive(ctx, leaseOfKey(t, ctx, near, i, 9))
		if err != nil {
			t.Fatal(err)
		}
		channels = append(channels, ch)
	}
	for range 3 { // a leader is believed to be one for five seconds
		for _, ch := range channels {
			if clienttest.Receive(t, "a renewal", ch) == nil {
				t.Fatal("lost")
			}
		}
	}
	rightToOther(t, ctx, root, false)
	if took := clienttest.Receive(t, "another stream", replaced); took > 100*time.Millisecond {
		t.Errorf("it took %v to open it", took)
	}
}
