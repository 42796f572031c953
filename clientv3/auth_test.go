package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// withAuth starts a cluster with authentication on: root/root may do all, and
// user/pass may use the keys under "user/".
func withAuth(t *testing.T, o etcdtest.Options) *etcdtest.Cluster {
	t.Helper()
	cl := etcdtest.Start(t, o)
	addUsers(t, cl)
	return cl
}

// addUsers adds the users of withAuth to a cluster, and enables authentication.
func addUsers(t *testing.T, cl *etcdtest.Cluster) {
	t.Helper()
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, long)
	for _, step := range []func() error{
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "root", "root"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.RoleAdd(ctx, "app"); return err },
		func() error {
			_, err := c.RoleGrantPermission(ctx, "app", "user/", clientv3.GetPrefixRangeEnd("user/"),
				clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := c.UserAdd(ctx, "user", "pass"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "user", "app"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAuthAdministration(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	ctx := ctxFor(t, long)
	if s, err := c.AuthStatus(ctx); err != nil || !s.Enabled {
		t.Fatalf("%v, %v", s, err)
	}
	if u, err := c.UserGet(ctx, "user"); err != nil || len(u.Roles) != 1 || u.Roles[0] != "app" {
		t.Errorf("%v, %v", u, err)
	}
	if u, err := c.UserList(ctx); err != nil || len(u.Users) != 2 {
		t.Errorf("%v, %v", u, err)
	}
	if r, err := c.RoleGet(ctx, "app"); err != nil || string(r.Perm[0].Key) != "user/" {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := c.RoleList(ctx); err != nil || len(r.Roles) != 2 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.UserAddWithOptions(ctx, "certificate", "", &clientv3.UserAddOptions{NoPassword: true}); err != nil {
		t.Error(err)
	}
	if _, err := c.UserAdd(ctx, "user", "x"); err != rpctypes.ErrUserAlreadyExist {
		t.Errorf("adding a user twice: %v", err)
	}
	if _, err := c.UserChangePassword(ctx, "user", "changed"); err != nil {
		t.Error(err)
	}
	if a, err := c.Authenticate(ctx, "user", "changed"); err != nil || a.Token == "" {
		t.Errorf("%v, %v", a, err)
	}
	for _, step := range []func() error{
		func() error { _, err := c.UserRevokeRole(ctx, "user", "app"); return err },
		func() error { _, err := c.UserDelete(ctx, "certificate"); return err },
		func() error {
			_, err := c.RoleRevokePermission(ctx, "app", "user/", clientv3.GetPrefixRangeEnd("user/"))
			return err
		},
		func() error { _, err := c.RoleDelete(ctx, "app"); return err },
		func() error { _, err := c.AuthDisable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Put(ctx, "anything", "v"); err != nil {
		t.Errorf("after authentication was switched off: %v", err)
	}
}

func TestAuthPermissions(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	ctx := ctxFor(t, long)
	if _, err := c.Put(ctx, "user/k", "v"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "other"); err != rpctypes.ErrPermissionDenied {
		t.Errorf("reading elsewhere: %v", err)
	}
	if _, err := c.UserAdd(ctx, "x", "y"); err != rpctypes.ErrPermissionDenied {
		t.Errorf("administration: %v", err)
	}
	r := next(t, c.Watch(ctx, "other"))
	if !r.Canceled || r.Err() != rpctypes.ErrPermissionDenied {
		t.Errorf("watching elsewhere: %+v, %v", r, r.Err())
	}
	nobody := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	if _, err := nobody.Get(ctx, "user/k"); err != rpctypes.ErrUserEmpty {
		t.Errorf("without a user: %v", err)
	}
	a, err := nobody.Authenticate(ctx, "user", "pass")
	if err != nil {
		t.Fatal(err)
	}
	token := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Token: a.Token})
	if _, err := token.Get(ctx, "user/k"); err != nil {
		t.Errorf("with a token: %v", err)
	}
}

func TestAuthBadCredentials(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cl := withAuth(t, etcdtest.Options{})
	for name, tc := range map[string]struct {
		cfg  clientv3.Config
		want error
	}{
		"wrong password": {clientv3.Config{Username: "user", Password: "wrong"}, rpctypes.ErrAuthFailed},
		"unknown user":   {clientv3.Config{Username: "who", Password: "pass"}, rpctypes.ErrAuthFailed},
		"token and password": {
			clientv3.Config{Username: "user", Password: "pass", Token: "t"}, clientv3.ErrMutuallyExclusiveCfg,
		},
	} {
		tc.cfg.Endpoints, tc.cfg.DialTimeout = cl.Endpoints(), long
		if c, err := clientv3.New(tc.cfg); err != tc.want {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Token: "made up"})
	if _, err := c.Get(ctxFor(t, long), "user/k"); err != rpctypes.ErrInvalidAuthToken {
		t.Errorf("invalid token: %v", err)
	}
	if r := next(t, c.Watch(ctxFor(t, long), "user/k")); r.Err() != rpctypes.ErrInvalidAuthToken {
		t.Errorf("watching with an invalid token: %v", r.Err())
	}
	began := time.Now()
	_, err := clientv3.New(
		clientv3.Config{
			Endpoints:   []string{refusing(t)},
			Username:    "u",
			Password:    "p",
			DialTimeout: 300 * time.Millisecond,
		},
	)
	if err != context.DeadlineExceeded || time.Since(began) > 5*time.Second {
		t.Errorf("no member to log in at: %v after %v", err, time.Since(began))
	}
}

// Without a DialTimeout New waits for its first token for as long as its context: a cluster
// that needs a while to come up is no error.
func TestNewWaitsForItsTokenAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{Proxied: true})
	p := cl.Members()[0].Proxy()
	p.Cut()
	const away = 12 * time.Second // longer than one login is given
	healed := time.AfterFunc(away, func() {
		if err := p.Heal(); err != nil {
			t.Error(err)
		}
	})
	defer healed.Stop()
	c := dial(t,
		clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass", Context: ctxFor(t, 3*long)})
	if _, err := c.Put(ctxFor(t, long), "user/k", "v"); err != nil {
		t.Error(err)
	}
	p.Cut()
	began := time.Now()
	ctx := ctxFor(t, away)
	c, err := clientv3.New(clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass", Context: ctx})
	if err != context.DeadlineExceeded {
		t.Errorf("a context of %v: %v, %v after %v", away, c, err, time.Since(began))
	}
}

// Tokens of two seconds: calls, watches and leases outlive them, and each expiry
// costs one login, however many calls meet it.
func TestAuthTokensExpire(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{Args: []string{"--auth-token-ttl=2"}})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	ctx := ctxFor(t, 2*long)
	logins := func() float64 {
		n, err := cl.Members()[0].Metric(
			ctx,
			`grpc_server_started_total{grpc_method="Authenticate",grpc_service="etcdserverpb.Auth",grpc_type="unary"}`,
		)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ch := c.Watch(ctx, "user/", clientv3.WithPrefix())
	before := logins()
	const rounds = 2
	for round := range rounds {
		quiet := time.NewTimer(4 * time.Second) // the server's clock decides; there is nothing to await
		<-quiet.C
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := c.Get(ctx, "user/k"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		v := fmt.Sprint(round)
		if _, err := c.Put(ctx, "user/k", v); err != nil {
			t.Fatal(err)
		}
		if r := next(t, ch); r.Err() != nil || string(r.Events[0].Kv.Value) != v {
			t.Fatalf("the watch after an expiry: %+v, %v", r, r.Err())
		}
		if got := next(t, c.Watch(ctx, "user/k", clientv3.WithCreatedNotify())); !got.Created {
			t.Fatalf("a new watch after an expiry: %+v, %v", got, got.Err())
		}
	}
	// A process that stood still for seconds meanwhile has met more expiries.
	if n := logins() - before; n > 4*rounds {
		t.Errorf("%v logins for %d expiries", n, rounds)
	}
}

// A user is configured, authentication is switched on later.
func TestAuthSwitchedOnLater(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	ctx := ctxFor(t, long)
	if _, err := c.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		second(c.RoleAdd(ctx, "root")), second(c.UserAdd(ctx, "root", "root")),
		second(c.UserGrantRole(ctx, "root", "root")), second(c.AuthEnable(ctx)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Get(ctx, "k"); err != nil {
		t.Errorf("after authentication was switched on: %v", err)
	}
	if _, err := c.UserChangePassword(ctx, "root", "other"); err != nil {
		t.Fatal(err)
	}
}

// Snapshots and streamed ranges that meet an expired token begin again with a fresh one, and a
// Range that is interrupted resumes with one.
func TestStreamsOutliveTheirToken(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{Proxied: true, Args: []string{"--auth-token-ttl=3"}})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	ctx := ctxFor(t, 3*long)
	fill(t, c, "k", bigRange, bigValues)
	expire := func() {
		quiet := time.NewTimer(5 * time.Second) // the server's clock decides; there is nothing to await
		<-quiet.C
	}
	expire()
	s, err := c.SnapshotWithVersion(ctx)
	if err != nil {
		t.Fatalf("a snapshot: %v", err)
	}
	if n, err := io.Copy(io.Discard, s.Snapshot); err != nil || n < 1<<20 {
		t.Errorf("a snapshot: %d bytes, %v", n, err)
	}
	expire()
	old, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatalf("a snapshot: %v", err)
	}
	if n, err := io.Copy(io.Discard, old); err != nil || n < 1<<20 {
		t.Errorf("a snapshot: %d bytes, %v", n, err)
	}
	expire()
	ch, err := c.GetStream(ctx, "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatalf("a stream: %v", err)
	}
	if r, err := clientv3.GetStreamToGetResponse(ch); err != nil || len(r.Kvs) != bigRange {
		t.Errorf("a stream: %v", err)
	}
	expire()
	inOrder(t, c.Range(ctx, "k"), "k", bigRange, func(i int) {
		if i == 1000 {
			expire()
			cl.Members()[0].Proxy().Reset()
		}
	})
}

// TestWatchWithoutToken: a client that found authentication switched off watches without a
// token. When it is switched on the server refuses that; the client knows a user, and the
// watch goes on with a token.
func TestWatchWithoutToken(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	admin := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, long)
	if _, err := admin.UserAdd(ctx, "root", "pass"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.UserGrantRole(ctx, "root", "root"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "pass"})
	next(t, c.Watch(ctx, "before", clientv3.WithCreatedNotify()))
	if _, err := admin.AuthEnable(ctx); err != nil {
		t.Fatal(err)
	}
	watch := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	if r := next(t, watch); !r.Created || r.Err() != nil {
		t.Fatalf("%+v: %v", r, r.Err())
	}
	works(t, c)
	if r := next(t, watch); len(r.Events) != 1 {
		t.Errorf("%+v: %v", r, r.Err())
	}
}

// TestWatchesOutliveTheirPassword: a watch goes on after its user's password was changed. A new
// watch needs a token, which the user cannot get any more, so it ends with the reason.
func TestWatchesOutliveTheirPassword(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	admin := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	ctx := ctxFor(t, long)
	before := c.Watch(ctx, "user/k", clientv3.WithCreatedNotify())
	next(t, before)
	if _, err := admin.UserChangePassword(ctx, "user", "other"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := next(t, c.Watch(ctx, "user/k")); r.Err() != rpctypes.ErrAuthFailed {
			t.Errorf("a new watch: %+v, %v", r, r.Err())
		}
	}
	if _, err := admin.Put(ctx, "user/k", "v"); err != nil {
		t.Fatal(err)
	}
	if r := next(t, before); len(r.Events) != 1 || r.Err() != nil {
		t.Errorf("the former watch: %+v, %v", r, r.Err())
	}
}

// With LazyLogin, New returns a client although no member answers. The first call logs in.
func TestLazyLogin(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	cl.Members()[0].Kill()
	ctx := ctxFor(t, 3*long)
	// Without LazyLogin, New would wait here until a member answers, since there is no DialTimeout.
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass", LazyLogin: true})
	wrong := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "wrong", LazyLogin: true})
	watching := make(chan clientv3.WatchChan, 1)
	go func() { watching <- c.Watch(ctx, "user/lazy", clientv3.WithCreatedNotify()) }()
	if err := cl.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	lease, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	events := <-watching
	if r := <-events; !r.Created {
		t.Fatalf("the watch began with %+v", r)
	}
	if _, err := c.Put(ctx, "user/lazy", "x", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	if r := <-events; len(r.Events) != 1 {
		t.Errorf("the watch says %+v", r)
	}
	if _, err := wrong.Get(ctx, "user/lazy"); !errors.Is(err, rpctypes.ErrAuthFailed) {
		t.Errorf("with a wrong password: %v", err)
	}
}
