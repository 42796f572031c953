package clientv3_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// After a restore from a backup the members do not answer calls with an older token, since it names
// a raft index that they have not reached. The client logs in again, and ends its watch with the
// reason.
func TestTokenOfBeforeARestore(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.4", "3.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			cl := withAuth(t, etcdtest.Options{Members: 3, Version: version})
			ctx := ctxFor(t, 3*long)
			file := backedUp(t, cl)
			c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
			w := c.Watch(ctx, "user/", clientv3.WithPrefix())
			if _, err := c.Put(ctx, "user/k", "lost"); err != nil {
				t.Fatal(err)
			}
			next(t, w)
			if err := cl.RestoreSnapshot(ctx, file, cl.Token()); err != nil {
				t.Fatal(err)
			}
			if r, err := c.Get(ctx, "user/k"); err != nil || len(r.Kvs) != 0 {
				t.Errorf("%v, %v", r, err)
			}
			if r := next(t, w); !errors.Is(r.Err(), clientv3.ErrHistoryLost) {
				t.Errorf("the watch: %+v, %v", r, r.Err())
			}
		})
	}
}

// The members do not answer a watch that begins with such a token either. A client that does
// nothing but watch finds that out too.
func TestWatchWithATokenOfBeforeARestore(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{Members: 3})
	ctx := ctxFor(t, 3*long)
	file := backedUp(t, cl)
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	if _, err := c.Get(ctx, "user/k"); err != nil {
		t.Fatal(err)
	}
	if err := cl.RestoreSnapshot(ctx, file, cl.Token()); err != nil {
		t.Fatal(err)
	}
	w := c.Watch(ctx, "user/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if r := next(t, w); !r.Created || r.Err() != nil {
		t.Fatalf("%+v, %v", r, r.Err())
	}
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	if _, err := root.Put(ctx, "user/k", "new"); err != nil {
		t.Fatal(err)
	}
	if r := next(t, w); len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "new" {
		t.Errorf("%+v, %v", r, r.Err())
	}
}

// Nor a write, which cannot be sent again: a client that does nothing but write finds out before.
func TestWriteWithATokenOfBeforeARestore(t *testing.T) {
	t.Parallel()
	for _, members := range []int{1, 3} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			t.Parallel()
			cl := withAuth(t, etcdtest.Options{Members: members})
			file := backedUp(t, cl)
			c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
			if _, err := c.Put(ctxFor(t, long), "user/k", "lost"); err != nil {
				t.Fatal(err)
			}
			if err := cl.RestoreSnapshot(ctxFor(t, 3*long), file, cl.Token()); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Put(ctxFor(t, long), "user/k", "new"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// backedUp writes a snapshot to a file, and returns the file's name. Many writes follow, so that
// later logins name a raft index far beyond the snapshot.
func backedUp(t *testing.T, cl *etcdtest.Cluster) string {
	t.Helper()
	ctx := ctxFor(t, 3*long)
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	file := filepath.Join(t.TempDir(), "backup.db")
	snapshot, err := root.SnapshotWithVersion(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(snapshot.Snapshot)
	if err := errors.Join(err, snapshot.Snapshot.Close(), os.WriteFile(file, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := root.Put(ctx, "user/k", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	return file
}
