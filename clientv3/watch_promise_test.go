package clientv3_test

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// untilDone writes until etcd takes it: a member that has just been restored may refuse it at
// first.
func untilDone(t *testing.T, write func() error) {
	t.Helper()
	await(t, "a write succeeds", func() bool { return write() == nil })
}

// putSoon is put for a member that has just been restored. It returns the revision.
func putSoon(t *testing.T, c *clientv3.Client, key string) (rev int64) {
	t.Helper()
	untilDone(t, func() error {
		r, err := c.Put(ctxFor(t, long), key, "v")
		if err == nil {
			rev = r.Header.Revision
		}
		return err
	})
	return rev
}

// TestRestoreBehindANotification: etcd has notified watches that nothing came up to a revision.
// Then a backup is restored in which other keys change before that revision. All that the watches
// have received is in it.
func TestRestoreBehindANotification(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t,
		etcdtest.Options{Proxied: true, Args: []string{"--watch-progress-notify-interval=100ms"}})
	m := cl.Members()[0]
	direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 3*long)
	plain := c.Watch(ctx, "k/", clientv3.WithPrefix(), clientv3.WithProgressNotify())
	quiet := c.Watch(ctx, "quiet/", clientv3.WithPrefix(), clientv3.WithProgressNotify())
	w := clientv3.NewResumingWatcher(c, c)
	defer w.Close()
	resuming := w.Watch(ctx, "k/", clientv3.WithPrefix(), clientv3.WithProgressNotify())
	put(t, direct, "k/old", "v")
	put(t, direct, "k/kept", "v")
	have := picture{}
	for len(have) < 2 {
		have.apply(next(t, resuming))
	}
	backup := clienttest.Backup(t, cl)
	var rev int64
	for i := range 20 {
		rev = putSoon(t, direct, fmt.Sprint("elsewhere/", i))
	}
	for _, ch := range []clientv3.WatchChan{plain, quiet, resuming} {
		progressTo(t, ch, rev)
	}
	m.Proxy().Cut()
	clienttest.PutBack(t, cl, backup)
	putSoon(t, direct, "k/new")
	untilDone(t, func() error { return second(direct.Delete(ctx, "k/old")) })
	for putSoon(t, direct, "elsewhere/0") < rev+20 {
	}
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	putSoon(t, direct, "k/late")
	putSoon(t, direct, "quiet/late")
	changed := func(ch clientv3.WatchChan) clientv3.WatchResponse {
		t.Helper()
		for {
			if r := next(t, ch); !r.IsProgressNotify() {
				return r
			}
		}
	}
	if r := changed(plain); !errors.Is(r.Err(), clientv3.ErrHistoryLost) {
		t.Errorf("the ordinary watch: %+v, %v", r, r.Err())
	}
	if r := changed(quiet); r.Err() != nil || len(r.Events) != 1 {
		t.Errorf("the watch of what does not differ: %+v, %v", r, r.Err())
	}
	for want := (picture{"k/kept": "v", "k/new": "v", "k/late": "v"}); fmt.Sprint(have) != fmt.Sprint(want); {
		r := next(t, resuming)
		if r.Err() != nil {
			t.Fatalf("the resuming watch: %v, the consumer has %v", r.Err(), have)
		}
		have.apply(r)
	}
}

// TestDeniedWitness: a backup is restored in which the user has no permission for the newest event
// that was delivered. The other watches of that user notice that their history is lost all the
// same, or go on, if what they have received is in the backup.
func TestDeniedWitness(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"the history is lost": true, "the history is the same": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl := withAuth(t, etcdtest.Options{Proxied: true})
			m := cl.Members()[0]
			asRoot := clientv3.Config{Endpoints: []string{m.Direct}, Username: "root", Password: "root"}
			root := dial(t, asRoot)
			c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
			ctx := ctxFor(t, 3*long)
			app := c.Watch(ctx, "user/", clientv3.WithPrefix())
			put(t, root, "user/0", "v")
			next(t, app)
			backup := clienttest.Backup(t, cl)
			untilDone(t, func() error {
				read := clientv3.PermissionType(clientv3.PermRead)
				return second(root.RoleGrantPermission(ctx, "app", "other", "", read))
			})
			other := c.Watch(ctx, "other")
			if lost {
				putSoon(t, root, "user/1")
				next(t, app)
			}
			rev := putSoon(t, root, "other")
			next(t, other)
			m.Proxy().Cut()
			clienttest.PutBack(t, cl, backup)
			root = dial(t, asRoot) // with a token that the restored member knows
			putSoon(t, root, "user/new")
			for putSoon(t, root, "elsewhere") < rev+20 {
			}
			if err := m.Proxy().Heal(); err != nil {
				t.Fatal(err)
			}
			if r := next(t, other); !errors.Is(r.Err(), rpctypes.ErrPermissionDenied) {
				t.Errorf("the watch that is not allowed any more: %+v, %v", r, r.Err())
			}
			r := next(t, app)
			if lost {
				if !errors.Is(r.Err(), clientv3.ErrHistoryLost) {
					t.Errorf("the other watch: %+v, %v", r, r.Err())
				}
			} else if r.Err() != nil || len(r.Events) != 1 || string(r.Events[0].Kv.Key) != "user/new" {
				t.Errorf("the other watch: %+v, %v", r, r.Err())
			}
		})
	}
}
