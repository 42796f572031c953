package clientv3_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// The watches of a user who may read few keys go on when the leader dies under writes.
func TestWatchOfLimitedUserSurvivesFailover(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{Members: 3})
	ctx := ctxFor(t, 3*long)
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	var watches []clientv3.WatchChan
	for i := range 6 {
		watches = append(watches, c.Watch(ctx, fmt.Sprintf("user/%d/", i), clientv3.WithPrefix()))
	}
	write := func(round int) {
		t.Helper()
		for i := range watches {
			await(t, "a put succeeds", func() bool {
				_, err := c.Put(ctx, fmt.Sprintf("user/%d/k", i), fmt.Sprint(round))
				return err == nil
			})
		}
	}
	write(0)
	leader := cl.Leader(t)
	leader.Kill()
	write(1)
	if err := leader.Restart(); err != nil {
		t.Fatal(err)
	}
	write(2)
	for i, w := range watches {
		for last := ""; last != "2"; {
			r := next(t, w)
			if r.Err() != nil || len(r.Events) == 0 {
				t.Fatalf("watch %d: %+v", i, r)
			}
			last = string(r.Events[len(r.Events)-1].Kv.Value)
		}
	}
}

// A watch ends with "permission denied" once its user may no longer read its keys, also if the
// permission was revoked while the watch had no stream.
func TestWatchEndsWhenPermissionIsGone(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	ctx := ctxFor(t, 3*long)
	for _, err := range []error{
		second(root.RoleAdd(ctx, "other")),
		second(root.RoleGrantPermission(ctx, "other", "b", "", clientv3.PermissionType(clientv3.PermReadWrite))),
		second(root.UserGrantRole(ctx, "user", "other")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	a, b := c.Watch(ctx, "user/a"), c.Watch(ctx, "b")
	put := func(k string) {
		t.Helper()
		await(t, "a put succeeds", func() bool { _, err := c.Put(ctx, k, "v"); return err == nil })
	}
	put("user/a")
	put("b")
	next(t, a)
	next(t, b)
	if _, err := root.UserRevokeRole(ctx, "user", "other"); err != nil {
		t.Fatal(err)
	}
	m := cl.Members()[0]
	m.Kill()
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	r := next(t, b)
	if !r.Canceled || !errors.Is(r.Err(), rpctypes.ErrPermissionDenied) {
		t.Errorf("the watch that is no longer allowed: %+v, %v", r, r.Err())
	}
	put("user/a")
	if r := next(t, a); r.Err() != nil || len(r.Events) != 1 {
		t.Errorf("the watch that is still allowed: %+v", r)
	}
}

// A restored backup has overtaken the watches. Revisions do not reveal it, but the changes of the
// newest known revision do.
func TestRestoredBackupThatOvertook(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{})
	m := cluster.Members()[0]
	writer := dial(t, clientv3.Config{Endpoints: []string{m.Endpoint}})
	// The watches have a proxy of their own, which is cut until the new history is longer than the
	// old one.
	door, err := faultnet.New(strings.TrimPrefix(m.Endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := door.Close(); err != nil {
			t.Error(err)
		}
	})
	c := dial(t, clientv3.Config{Endpoints: []string{door.Addr()}})
	ctx := ctxFor(t, 3*long)
	put := func(k, v string) {
		t.Helper()
		await(t, "a put succeeds", func() bool { _, err := writer.Put(ctx, k, v); return err == nil })
	}
	put("k/old", "1")
	backup := clienttest.Backup(t, cluster)
	w := clientv3.NewResumingWatcher(c, c)
	defer w.Close()
	plain := c.Watch(ctx, "k/", clientv3.WithPrefix())
	resuming := w.Watch(ctx, "k/", clientv3.WithPrefix())
	have := picture{"k/old": "1"}
	for i := range 5 {
		put(fmt.Sprint("k/lost", i), "v")
	}
	for len(have) < 6 {
		have.apply(next(t, resuming))
	}
	for last := ""; last != "k/lost4"; {
		r := next(t, plain)
		last = string(r.Events[len(r.Events)-1].Kv.Key)
	}
	door.Cut()
	clienttest.PutBack(t, cluster, backup)
	for i := range 9 {
		put(fmt.Sprint("k/new", i), "v")
	}
	if err := door.Heal(); err != nil {
		t.Fatal(err)
	}
	if r := next(t, plain); !r.Canceled || !errors.Is(r.Err(), clientv3.ErrHistoryLost) {
		t.Errorf("the ordinary watch: %+v, %v", r, r.Err())
	}
	want := picture{"k/old": "1"}
	for i := range 9 {
		want[fmt.Sprint("k/new", i)] = "v"
	}
	for fmt.Sprint(have) != fmt.Sprint(want) {
		r := next(t, resuming)
		if r.Err() != nil {
			t.Fatalf("the resuming watch: %v, the consumer has %v", r.Err(), have)
		}
		have.apply(r)
	}
}

// TestCompactedWitness: a wiped etcd reaches a revision that a watch knows, and compacts its
// earlier history. The key that the watch has seen last, or before a deletion, reveals the wipe all
// the same. If that key is unchanged, the watch goes on.
func TestCompactedWitness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deletes bool // the newest event is a deletion
		wiped   bool
	}{
		"put, wiped":          {wiped: true},
		"deletion, wiped":     {deletes: true, wiped: true},
		"put, compacted":      {},
		"deletion, compacted": {deletes: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t,
				etcdtest.Options{Proxied: true, Args: []string{"--watch-progress-notify-interval=100ms"}})
			m := cl.Members()[0]
			direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
			ctx := ctxFor(t, 2*long)
			w := dial(t, clientv3.Config{Endpoints: cl.Endpoints()}).Watch(ctx, "k/", clientv3.WithPrefix(),
				clientv3.WithProgressNotify())
			put(t, direct, "k/2", "v")
			put(t, direct, "k/1", "v")
			if c.deletes {
				if _, err := direct.Delete(ctx, "k/2"); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				put(t, direct, "other", "v")
			}
			seen := progressTo(t, w, revisionOf(t, direct))
			m.Proxy().Cut()
			if c.wiped {
				clienttest.PutBack(t, cl, "")
				for revisionOf(t, direct) < seen {
					put(t, direct, "k/1", "anew")
				}
			}
			if _, err := direct.Compact(ctx, seen); err != nil {
				t.Fatal(err)
			}
			if err := m.Proxy().Heal(); err != nil {
				t.Fatal(err)
			}
			put(t, direct, "k/3", "v")
			r := next(t, w)
			for r.IsProgressNotify() {
				r = next(t, w)
			}
			if lost := errors.Is(r.Err(), clientv3.ErrHistoryLost); lost != c.wiped || !lost && len(r.Events) != 1 {
				t.Errorf("%+v, %v", r, r.Err())
			}
		})
	}
}

// progressTo waits until a watch has everything up to a revision, and returns how far it was.
func progressTo(t *testing.T, w clientv3.WatchChan, rev int64) int64 {
	t.Helper()
	for {
		r := next(t, w)
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		if r.IsProgressNotify() && r.Header.Revision >= rev {
			return r.Header.Revision
		}
	}
}

func revisionOf(t *testing.T, c *clientv3.Client) int64 {
	t.Helper()
	r, err := c.Get(ctxFor(t, long), "k/1")
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}
