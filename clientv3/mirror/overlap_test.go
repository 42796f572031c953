package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/clientv3/ordering"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// spaced is a client of the shared server behind namespaces, the first one the nearest to etcd.
func spaced(t *testing.T, spaces ...string) *clientv3.Client {
	t.Helper()
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	for _, space := range spaces {
		enter(c, space)
	}
	return c
}

func enter(c *clientv3.Client, space string) {
	c.KV = namespace.NewKV(c.KV, space)
	c.Watcher = namespace.NewWatcher(c.Watcher, space)
	c.Lease = namespace.NewLease(c.Lease, space)
}

// forgetful answers no question: it passes on another context.
type forgetful struct{ clientv3.KV }

func (f forgetful) Get(_ context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return f.KV.Get(context.Background(), key, opts...)
}

// owners is what the keys of owners begin with.
const owners = "leasing/"

// data lists the keys of a client, but for those of owners and checkpoints.
func data(t *testing.T, c *clientv3.Client, prefix string) map[string]string {
	t.Helper()
	got := content(t, c, prefix)
	maps.DeleteFunc(got, func(key, _ string) bool { return key[0] == 0 || strings.Contains(key, owners) })
	return got
}

// wrapped puts KVs in front of c's that answer from memory what they can, and others.
func wrapped(t *testing.T, c *clientv3.Client, prefix string) {
	t.Helper()
	kv := c.KV
	if prefix != "" { // else the keys of owners would be among those of the mirror
		leased, giveUp, err := leasing.NewKV(c, owners)
		clienttest.OK(t, "leasing.NewKV", err)
		t.Cleanup(giveUp)
		kv = leased
	}
	copied, err := cache.New(c, []string{prefix}, cache.WithSource(kv, c.Watcher))
	clienttest.OK(t, "cache.New", err)
	t.Cleanup(func() { copied.Close() })
	clienttest.OK(t, "WaitReady", copied.WaitReady(clienttest.Within(t, clienttest.Long)))
	c.KV = batch.NewKV(ordering.NewKV(copied, nil), batch.WithWrites())
}

// overlap is two sides of a mirror within one cluster.
type overlap struct {
	source []string // namespaces, the nearest to etcd first
	from   string
	target []string
	to     string
	mark   string // "": the default
}

func (o overlap) options() []mirror.Option {
	opts := []mirror.Option{mirror.WithPrefix(o.from), mirror.WithTargetPrefix(o.to)}
	if o.mark != "" {
		opts = append(opts, mirror.WithCheckpoint(o.mark))
	}
	return opts
}

// overlapping mirrors would read what they write, although the names that the clients use do not
// say so.
var overlapping = map[string]overlap{
	"the target within the source": {[]string{"a/"}, "x/", nil, "a/x/copy/", ""},
	"the source within the target": {[]string{"a/"}, "x/", nil, "a/", ""},
	"the same keys":                {[]string{"a/x/"}, "k/", []string{"a/"}, "x/k/", ""},
	"namespaces over namespaces":   {[]string{"a/", "b/", "c/"}, "x/", []string{"a/", "b/"}, "c/x/y/", ""},
	"a whole namespace":            {[]string{"a/b/"}, "", []string{"a/", "b/"}, "x/", ""},
	"the checkpoint in the source": {nil, "x/", nil, "y/", "x/mark"},
	"the checkpoint by other ways": {nil, "a/x/", []string{"a/"}, "y/", "x/mark"},
}

// apart are mirrors of other keys, although the names that the clients use are the same, or nested.
var apart = map[string]overlap{
	"the same names":             {[]string{"a/"}, "x/", []string{"b/"}, "x/", ""},
	"whole namespaces":           {[]string{"a/"}, "", []string{"b/"}, "", ""},
	"nested names":               {[]string{"a/"}, "x/", []string{"b/"}, "x/y/", ""},
	"namespaces over namespaces": {[]string{"a/", "b/"}, "x/", []string{"a/b", "b/"}, "x/", ""},
	"a namespace and none":       {[]string{"a/"}, "x/", nil, "x/", ""},
	"a checkpoint of that name":  {[]string{"a/"}, "x/", []string{"b/"}, "y/", "x/mark"},
}

// sides returns the clients of both sides, and one of the namespace of the test, which they are
// below and which is empty afterwards.
func (o overlap) sides(t *testing.T) (base, source, target *clientv3.Client) {
	t.Helper()
	base = spaced(t, t.Name()+"/")
	t.Cleanup(func() { del(t, base, "\x00", clientv3.WithFromKey()) })
	source = spaced(t, append([]string{t.Name() + "/"}, o.source...)...)
	target = spaced(t, append([]string{t.Name() + "/"}, o.target...)...)
	return base, source, target
}

func TestOneClusterApart(t *testing.T) {
	for name, o := range apart {
		for _, chained := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", chained ", chained), func(t *testing.T) {
				_, source, target := o.sides(t)
				if chained {
					wrapped(t, source, o.from)
					wrapped(t, target, o.to)
				}
				put(t, source, o.from+"1", "one")
				r := start(t, source, target, o.options()...)
				r.reach(put(t, source, o.from+"2", "two"))
				r.stop()
				got := data(t, target, o.to)
				if want := map[string]string{"1": "one", "2": "two"}; !maps.Equal(got, want) {
					t.Errorf("the target has %q", got)
				}
			})
		}
	}
}

func TestOneClusterOverlaps(t *testing.T) {
	for name, o := range overlapping {
		for _, chained := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", chained ", chained), func(t *testing.T) {
				base, source, target := o.sides(t)
				put(t, source, o.from+"1", "one")
				if chained {
					wrapped(t, source, o.from)
					wrapped(t, target, o.to)
				}
				refused(t, base, source, target, o.options()...)
			})
		}
	}
}

// refused checks that a mirror does not begin, and changes no key that base shows.
func refused(t *testing.T, base, source, target *clientv3.Client, opts ...mirror.Option) {
	t.Helper()
	was := data(t, base, "")
	ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
	defer cancel()
	opts = append(opts, mirror.WithReconcile(), mirror.WithProgress(func(p mirror.Progress) {
		if p.Puts > 20 {
			t.Error("one key was copied again and again")
			cancel()
		}
	}))
	err := mirror.Run(ctx, source, target, opts...)
	if err == nil || !strings.Contains(err.Error(), "in the same cluster") {
		t.Errorf("the mirror was not refused: %v", err)
	}
	if is := data(t, base, ""); !maps.Equal(is, was) {
		t.Errorf("keys were changed: %q", is)
	}
}

// A wrapper that hides what it is leaves the clients' names to be compared.
func TestOverlapOfUnknownNames(t *testing.T) {
	base := spaced(t, t.Name()+"/")
	t.Cleanup(func() { del(t, base, "\x00", clientv3.WithFromKey()) })
	c := spaced(t, t.Name()+"/")
	c.KV = forgetful{c.KV}
	put(t, c, "x/1", "one")
	refused(t, base, c, c, mirror.WithPrefix("x/"), mirror.WithTargetPrefix("x/y/"))
	r := start(t, c, c, mirror.WithPrefix("x/"), mirror.WithTargetPrefix("y/"))
	r.reach(put(t, c, "x/2", "two"))
	r.stop()
	same(t, c, "x/", c, "y/")
}

// limited makes two users, and returns the client of an administrator: reader may read "src/",
// writer may read and write "dst/" and "src/in/".
func limited(t *testing.T, cluster *etcdtest.Cluster) (root *clientv3.Client) {
	t.Helper()
	ctx := clienttest.Within(t, clienttest.Long)
	c := clienttest.Dial(t, cluster.Endpoints()...)
	may := func(role, prefix string, what int32) error {
		_, err := c.RoleGrantPermission(ctx, role, prefix, clientv3.GetPrefixRangeEnd(prefix),
			clientv3.PermissionType(what))
		return err
	}
	second := func(_ any, err error) error { return err }
	clienttest.OK(t, "users", errors.Join(
		second(c.UserAdd(ctx, "root", "root")), second(c.UserGrantRole(ctx, "root", "root")),
		second(c.RoleAdd(ctx, "reader")), may("reader", "src/", int32(clientv3.PermRead)),
		second(c.UserAdd(ctx, "reader", "reader")), second(c.UserGrantRole(ctx, "reader", "reader")),
		second(c.RoleAdd(ctx, "writer")), may("writer", "dst/", int32(clientv3.PermReadWrite)),
		may("writer", "src/in/", int32(clientv3.PermReadWrite)),
		second(c.UserAdd(ctx, "writer", "writer")), second(c.UserGrantRole(ctx, "writer", "writer")),
		second(c.AuthEnable(ctx)),
	))
	return as(t, cluster, "root")
}

func as(t *testing.T, cluster *etcdtest.Cluster, user string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Username: user, Password: user})
	clienttest.OK(t, "New", err)
	t.Cleanup(func() { c.Close() })
	return c
}

// Users who may do no more than a mirror has to do learn what overlaps.
func TestOverlapOfLimitedUsers(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	root := limited(t, cluster)
	reader, writer := as(t, cluster, "reader"), as(t, cluster, "writer")
	enter(reader, "src/")
	enter(writer, "dst/")
	put(t, root, "src/x/1", "one")
	r := start(t, reader, writer, mirror.WithPrefix("x/"))
	r.reach(put(t, root, "src/x/2", "two"))
	r.stop()
	same(t, root, "src/x/", root, "dst/x/")

	within := as(t, cluster, "writer")
	enter(within, "src/in/")
	refused(t, root, reader, within)
	_, err := reader.Put(clienttest.Within(t, clienttest.Long), "x/1", "")
	if !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("the reader is not limited: %v", err)
	}
}

// TestClustersOfOneID: a backup was restored beside the original, so both clusters have the same
// id, and the same keys at the same revisions. One may be mirrored to the other under these names.
func TestClustersOfOneID(t *testing.T) {
	for _, users := range []bool{false, true} {
		t.Run(fmt.Sprint("users ", users), func(t *testing.T) {
			one, two := etcdtest.Start(t, etcdtest.Options{}), etcdtest.Start(t, etcdtest.Options{})
			source, target := clienttest.Dial(t, one.Endpoints()...), clienttest.Dial(t, two.Endpoints()...)
			from, to := source, target
			put(t, source, "src/in/1", "one")
			if users {
				source = limited(t, one)
			}
			clienttest.PutBack(t, two, clienttest.Backup(t, one))
			if users {
				target = as(t, two, "root")
				from, to = as(t, one, "reader"), as(t, two, "writer")
			}
			r := start(t, from, to, mirror.WithReconcile(),
				mirror.WithPrefix("src/in/"), mirror.WithCheckpoint("dst/mark"))
			r.reach(put(t, source, "src/in/2", "two"))
			put(t, target, "dst/x", "") // so that the revisions are not the same
			r.reach(put(t, source, "src/in/3", "three"))
			r.stop()
			same(t, source, "src/", target, "src/")
			a, err := source.Get(clienttest.Within(t, clienttest.Long), "src/in/1")
			clienttest.OK(t, "Get", err)
			b, err := target.Get(clienttest.Within(t, clienttest.Long), "src/in/1")
			clienttest.OK(t, "Get", err)
			if a.Header.ClusterId != b.Header.ClusterId {
				t.Error("the clusters have different ids")
			}
		})
	}
}

// A checkpoint names its source as etcd has it: a mirror of another namespace, where the keys have
// the same names, does not go on from it. A client without namespaces does, for the same keys.
func TestCheckpointNamesTheKeysOfEtcd(t *testing.T) {
	base := spaced(t, t.Name()+"/")
	t.Cleanup(func() { del(t, base, "\x00", clientv3.WithFromKey()) })
	target := spaced(t, t.Name()+"/", "copy/")
	put(t, base, "a/x/1", "one")
	rev := put(t, base, "b/x/1", "another")
	first := start(t, spaced(t, t.Name()+"/", "a/"), target, mirror.WithPrefix("x/"))
	first.reach(rev)
	first.stop()
	err := mirror.Run(clienttest.Within(t, clienttest.Long), spaced(t, t.Name()+"/", "b/"), target,
		mirror.WithPrefix("x/"), mirror.WithoutFollowing())
	if !errors.Is(err, mirror.ErrTargetNotEmpty) {
		t.Errorf("a mirror of another namespace: %v", err)
	}
	then := start(t, spaced(t), target, mirror.WithPrefix(t.Name()+"/a/x/"), mirror.WithTargetPrefix("x/"))
	then.reach(put(t, base, "a/x/2", "two"))
	then.stop()
	same(t, base, "a/x/", base, "copy/x/")
}

// A checkpoint is JSON, and keys may be any bytes.
func TestPrefixOfAnyBytes(t *testing.T) {
	c, from, to, opts := oneCluster(t)
	from += "\xff\xfe/"
	opts = append(opts, mirror.WithPrefix(from))
	for i := range 2 {
		r := start(t, c, c, opts...)
		r.reach(put(t, c, fmt.Sprint(from, i), ""))
		r.stop()
		same(t, c, from, c, to)
		if i == 1 && r.last.Comparisons != 0 {
			t.Errorf("%+v", r.last)
		}
	}
}

// etcd's gRPC proxy is no other cluster.
func TestOverlapBehindAProxy(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	base := clienttest.Dial(t, cluster.Endpoints()...)
	put(t, base, "a/x/1", "one")
	source := clienttest.Dial(t, etcdtest.Proxy(t, cluster))
	enter(source, "a/")
	refused(t, base, source, base, mirror.WithPrefix("x/"), mirror.WithTargetPrefix("a/x/copy/"))
	refused(t, base, base, source, mirror.WithPrefix("a/x/"), mirror.WithTargetPrefix("x/copy/"))
	r := start(t, source, base, mirror.WithPrefix("x/"))
	r.reach(put(t, base, "a/x/2", "two"))
	r.stop()
	same(t, base, "a/x/", base, "x/")
}
