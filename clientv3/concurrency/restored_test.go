package concurrency_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/scrape"
)

// A backup has a session's lease, but not the key of a later lock. It is restored while the lock is
// held. The owner learns that its key is gone, although etcd has reached higher revisions before
// the owner was connected again.
func TestOwnerOverARestoreThatOvertook(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	s, err := concurrency.NewSession(c, concurrency.WithTTL(60))
	if err != nil {
		t.Fatal(err)
	}
	backup := clienttest.Backup(t, cluster)
	m := concurrency.NewMutex(s, t.Name())
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	ctx := m.Context()
	metrics := scrape.New(nil)
	defer metrics.Close()
	clienttest.Await(t, "the owner's watch", func() bool {
		n, err := metrics.Sum(
			clienttest.Within(t, clienttest.Long),
			cluster.Members()[0].Direct,
			"etcd_debugging_mvcc_watcher_total",
		)
		return err == nil && n == 1
	})
	clienttest.Restore(t, cluster, backup, nil)
	ends(t, "the ownership", ctx.Done())
	if s.Ctx().Err() != nil {
		t.Error("the session has ended too")
	}
}

// A backup has the key of a lock that was released later. It is restored, and the session's other
// locks keep the lease alive. The session deletes the key long before the next renewal is due, so
// that others get the lock.
func TestReleasedOverARestore(t *testing.T) {
	for name, distinct := range map[string][]concurrency.SessionOption{
		"shared": nil, "distinct": {concurrency.WithDistinctOwners()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			c := clienttest.Dial(t, cluster.Endpoints()...)
			s, err := concurrency.NewSession(c, append(distinct, concurrency.WithTTL(600))...)
			ok(t, "NewSession", err)
			kept, released := concurrency.NewMutex(s, t.Name()+"/kept"), concurrency.NewMutex(s, t.Name()+"/released")
			ok(t, "Lock", kept.Lock(clienttest.Within(t, clienttest.Long)))
			ok(t, "Lock", released.Lock(clienttest.Within(t, clienttest.Long)))
			user := "workers/" + strconv.FormatInt(int64(s.Lease()), 16)
			_, err = c.Put(clienttest.Within(t, clienttest.Long), user, "a user's", clientv3.WithLease(s.Lease()))
			ok(t, "Put", err)
			backup := clienttest.Backup(t, cluster)
			ok(t, "Unlock", released.Unlock(clienttest.Within(t, clienttest.Long)))
			clienttest.Restore(t, cluster, backup, nil)

			other, err := concurrency.NewSession(clienttest.Dial(t, cluster.Endpoints()...))
			ok(t, "NewSession", err)
			ok(
				t,
				"Lock of another",
				concurrency.NewMutex(other, t.Name()+"/released").Lock(clienttest.Within(t, clienttest.Long)),
			)
			if kept.Context().Err() != nil {
				t.Error("the lock that was kept is lost")
			}
			r, err := c.Get(clienttest.Within(t, clienttest.Long), user)
			if err != nil || len(r.Kvs) != 1 {
				t.Errorf("the user's key: %v, %v", r, err)
			}
		})
	}
}

// TestOwnersOverARestoreBehindTheGRPCProxy: etcd's gRPC proxy keeps the client's streams while a
// backup is put back, which comes to higher revisions at once. The owner of a lock that is not in
// the backup learns that its key is gone, and one that was released is released again.
func TestOwnersOverARestoreBehindTheGRPCProxy(t *testing.T) {
	t.Parallel()
	releasedOverARestore(t, "proxy/released", func(s *concurrency.Session) (await func()) {
		held := concurrency.NewMutex(s, "proxy/held")
		ok(t, "Lock", held.Lock(clienttest.Within(t, clienttest.Long)))
		owns := held.Context()
		return func() { ends(t, "the ownership", owns.Done()) }
	})
}

// releasedOverARestore locks and releases a mutex behind the proxy, and calls then. A backup from
// before the release is put back, and comes to higher revisions at once. After await another client
// gets the lock.
func releasedOverARestore(t *testing.T, name string, then func(*concurrency.Session) (await func())) {
	t.Helper()
	cluster := etcdtest.Start(t, etcdtest.Options{})
	direct := clienttest.Dial(t, cluster.Endpoints()...)
	c := clienttest.Dial(t, etcdtest.Proxy(t, cluster))
	ctx := clienttest.Within(t, 3*clienttest.Long)
	// The backup and its restore stop etcd for up to 10 s: longer than a TTL, they would end the
	// session.
	s, err := concurrency.NewSession(c, concurrency.WithTTL(30))
	ok(t, "NewSession", err)
	released := concurrency.NewMutex(s, name)
	ok(t, "Lock", released.Lock(ctx))
	backup := clienttest.Backup(t, cluster)
	ok(t, "Unlock", released.Unlock(ctx))
	await := then(s)
	clienttest.PutBack(t, cluster, backup)
	for i := range 60 {
		_, err := direct.Put(ctx, "proxy/other", strconv.Itoa(i))
		ok(t, "Put", err)
	}
	await()
	other, err := concurrency.NewSession(direct)
	ok(t, "NewSession", err)
	ok(t, "Lock of another", concurrency.NewMutex(other, name).Lock(ctx))
	if s.Ctx().Err() != nil {
		t.Error("the session has ended too")
	}
}

// After a restore to lower revisions the lock of another session of the same lease may get the
// revision that a released lock had. It is not deleted.
func TestLockOfALowerHistory(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	proxy := cluster.Members()[0].Proxy()
	var looks atomic.Int64
	c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Hooks: clientv3.Hooks{
		Attempt: func(a clientv3.AttemptInfo) {
			if a.Method == "Lease.LeaseTimeToLive" {
				looks.Add(1)
			}
		},
	}})
	ok(t, "New", err)
	t.Cleanup(func() { c.Close() })
	ctx := clienttest.Within(t, 3*clienttest.Long)
	s, err := concurrency.NewSession(c, concurrency.WithTTL(30))
	ok(t, "NewSession", err)
	direct := clienttest.Dial(t, cluster.Members()[0].Direct)
	released := concurrency.NewMutex(s, "lower/released")
	ok(t, "Lock", released.Lock(ctx))
	backup := clienttest.Backup(t, cluster)
	releasedKey := released.Key()
	ok(t, "Unlock", released.Unlock(ctx))
	for i := range 50 {
		_, err := c.Put(ctx, "lower/other", strconv.Itoa(i))
		ok(t, "Put", err)
	}
	m := concurrency.NewMutex(s, "lower/lock")
	ok(t, "Lock", m.Lock(ctx))
	ok(t, "Unlock", m.Unlock(ctx))

	proxy.Cut()
	clienttest.PutBack(t, cluster, backup)
	ok(t, "Heal", proxy.Heal())
	clienttest.Await(t, "the end of the released lock", func() bool {
		r, err := direct.Get(ctx, releasedKey)
		return err == nil && len(r.Kvs) == 0
	})
	other, err := concurrency.NewSession(direct, concurrency.WithTTL(30), concurrency.WithLease(s.Lease()))
	ok(t, "NewSession", err)
	held := concurrency.NewMutex(other, "lower/lock")
	ok(t, "Lock of the other session", held.Lock(ctx))
	for range 2 { // when the second look begins, the first is over
		was := looks.Load()
		proxy.Reset()
		clienttest.Await(t, "a look", func() bool { return looks.Load() > was })
	}
	r, err := direct.Get(ctx, held.Key())
	if err != nil || len(r.Kvs) != 1 || held.Context().Err() != nil {
		t.Errorf("the lock of the new history is lost: %v, %v", r, err)
	}
}

// The same for a user who may not read a key that is under the lease too: etcd does not say then
// which keys a lease has.
func TestReleasedOverARestoreByALimitedUser(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	ctx := clienttest.Within(t, 3*clienttest.Long)
	setup := clienttest.Dial(t, cluster.Endpoints()...)
	do := func(_ any, err error) {
		t.Helper()
		ok(t, "setup", err)
	}
	do(setup.UserAdd(ctx, "root", "pw"))
	do(setup.UserGrantRole(ctx, "root", "root"))
	do(setup.UserAdd(ctx, "owner", "pw"))
	do(setup.RoleAdd(ctx, "owner"))
	may := func(prefix string, right clientv3.PermissionType) {
		do(setup.RoleGrantPermission(ctx, "owner", prefix, clientv3.GetPrefixRangeEnd(prefix), right))
	}
	may("lock/", clientv3.PermissionType(clientv3.PermReadWrite))
	may("log/", clientv3.PermissionType(clientv3.PermWrite))
	do(setup.UserGrantRole(ctx, "owner", "owner"))
	do(setup.AuthEnable(ctx))
	login := func(name, endpoint string) *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Username: name, Password: "pw"})
		ok(t, "New", err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := login("owner", cluster.Endpoints()[0])
	s, err := concurrency.NewSession(c, concurrency.WithTTL(30))
	ok(t, "NewSession", err)
	kept := concurrency.NewMutex(s, "lock/kept")
	ok(t, "Lock", kept.Lock(ctx))
	var released []*concurrency.Mutex
	for i := range 150 { // more than one request reads
		m := concurrency.NewMutex(s, "lock/released/"+strconv.Itoa(i))
		ok(t, "Lock", m.Lock(ctx))
		released = append(released, m)
	}
	do(c.Put(ctx, "log/1", "a user's", clientv3.WithLease(s.Lease())))
	backup := clienttest.Backup(t, cluster)
	for _, m := range released {
		ok(t, "Unlock", m.Unlock(ctx))
	}
	clienttest.PutBack(t, cluster, backup)
	root := login("root", cluster.Members()[0].Direct)
	clienttest.Await(t, "the end of the released locks", func() bool {
		r, err := root.Get(ctx, "lock/released/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && r.Count == 0
	})
	if kept.Context().Err() != nil {
		t.Error("the lock that was kept is lost")
	}
	if r, err := root.Get(ctx, "log/1"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("the user's key: %v, %v", r, err)
	}
}

// TestReleasedOverARestoreBehindTheGRPCProxy: a session that holds nothing has no watch that finds
// the restore, its stream stays, and the new history overtakes the old one before its next renewal.
func TestReleasedOverARestoreBehindTheGRPCProxy(t *testing.T) {
	t.Parallel()
	releasedOverARestore(t, "proxy/alone", func(*concurrency.Session) (await func()) { return func() {} })
}
