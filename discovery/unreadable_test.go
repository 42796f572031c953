package discovery_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A value that can never be stored fails at once, and the previous one stays and comes back.
func TestSetOfATooLargeValue(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	k, err := r.Keep(within(t), t.Name(), "good")
	if err != nil {
		t.Fatal(err)
	}
	for what, size := range map[string]int{"for the server": 1_600_000, "for the client": 3_100_000} {
		big := strings.Repeat("x", size)
		if err := k.Set(context.Background(), big); err == nil {
			t.Errorf("too large %s: no error", what)
		}
		if k.Value() != "good" || value(t, c, k.Key()) != "good" {
			t.Errorf("too large %s: %d bytes are to be kept, %d are there", what, len(k.Value()),
				len(value(t, c, k.Key())))
		}
		if _, err := c.Delete(within(t), k.Key()); err != nil {
			t.Fatal(err)
		}
		clienttest.Await(t, "it is back", func() bool { return value(t, c, k.Key()) == "good" })
		if _, err := r.Keep(context.Background(), t.Name()+"/big", big); err == nil {
			t.Errorf("too large %s from the beginning: no error", what)
		}
	}
	if err := k.Set(within(t), "better"); err != nil || value(t, c, k.Key()) != "better" {
		t.Errorf("%v", err)
	}
}

// A TTL that the server does not allow fails at once.
func TestTTLBeyondTheServers(t *testing.T) {
	r := registrar(t, clienttest.Shared(t), discovery.WithTTL(1<<62))
	if _, err := r.Register(context.Background(), orders(t, "a")); !errors.Is(err, rpctypes.ErrLeaseTTLTooLarge) {
		t.Errorf("%v", err)
	}
}

// A user who may not read a service learns that from the problem, the status and the errors. When
// reading is allowed, the view comes.
func TestDirectoryOfALimitedUser(t *testing.T) {
	_, app, root := limited(t, "elsewhere/")
	var problems atomic.Int64
	d := directory(t, app, discovery.WithProblems(func(p discovery.Problem) {
		if clientv3.Code(p.Err) != codes.PermissionDenied || p.Service != t.Name() {
			t.Errorf("%+v", p)
		}
		problems.Add(1)
	}))
	s := subscribe(t, d)
	clienttest.Await(
		t,
		"the problem",
		func() bool { return problems.Load() == 1 && clientv3.Code(s.Status().Err) == codes.PermissionDenied },
	)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // some attempts
	defer cancel()
	if err := s.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "permission denied") {
		t.Errorf("Ready: %v", err)
	}
	if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "permission denied") {
		t.Errorf("Next: %v", err)
	}
	if err := allow(within(t), root, base(t).Prefix(t.Name())); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(within(t)); err != nil || s.Status().Err != nil {
		t.Errorf("%v, %+v", err, s.Status())
	}
	if n := problems.Load(); n != 1 {
		t.Errorf("reported %d times", n)
	}
}

// When a directory's client is closed, its views become stale.
func TestClientClosedUnderADirectory(t *testing.T) {
	c := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	s := subscribe(t, directory(t, c))
	next(t, s)
	c.Close()
	clienttest.Await(t, "stale", func() bool { return s.Status().Stale })
	if _, err := s.Next(within(t)); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("%v", err)
	}
}
