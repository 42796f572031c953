package clientv3_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
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
// do not expire meanwhile. (With thousands of leases a busy machine is too slow for their streams;
// the tests of internal/lease have them in a time of their own.)
func TestManyForbiddenLeasesFarAway(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		leases, ttl int
		roundTrip   time.Duration
	}{{80, 10, 500 * time.Millisecond}, {200, 5, 400 * time.Millisecond}} {
		t.Run(fmt.Sprint(x.leases), func(t *testing.T) {
			t.Parallel()
			manyForbidden(t, x.leases, int64(x.ttl), x.roundTrip)
		})
	}
}

func manyForbidden(t *testing.T, leases int, ttl int64, roundTrip time.Duration) {
	cl := withAuth(t, etcdtest.Options{Members: 3})
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
	for i, ch := range channels {
		for n := len(ch); !forbidden(i) && n >= 0; n-- {
			select {
			case _, ok := <-ch:
				if !ok {
					t.Fatalf("lease %d was lost, with whose key nothing is wrong", i)
				}
			default:
			}
		}
	}
}
