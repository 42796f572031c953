package cache_test

import (
	"testing"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A copy that has had no change since it was listed shows what a wiped etcd has, even if that etcd
// has meanwhile reached higher revisions. So does an empty copy.
func TestWipedEtcdThatOvertook(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	ctx := clienttest.Within(t, 3*clienttest.Long)
	for range 9 {
		_, err := c.Put(ctx, "full/k", "v")
		ok(t, "Put", err)
	}
	copies, err := cache.New(c, []string{"full/", "empty/"})
	ok(t, "New", err)
	defer copies.Close()
	ok(t, "WaitReady", copies.WaitReady(ctx))
	clienttest.Overtake(t, cluster, map[string]string{"full/k": "anew", "empty/k": "anew"})
	for _, key := range []string{"full/k", "empty/k"} {
		clienttest.Await(t, key+" of the new history", func() bool {
			r, err := copies.Get(ctx, key, clientv3.WithSerializable())
			return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == "anew"
		})
	}
}
