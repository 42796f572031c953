package interop

import (
	"testing"

	theirs "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/client/v3/clientv3util"
	_ "go.etcd.io/etcd/client/v3/credentials"
	_ "go.etcd.io/etcd/client/v3/kubernetes"
	_ "go.etcd.io/etcd/client/v3/mirror"
	_ "go.etcd.io/etcd/client/v3/mock/mockserver"
	_ "go.etcd.io/etcd/client/v3/namespace"
	_ "go.etcd.io/etcd/client/v3/naming"
	_ "go.etcd.io/etcd/client/v3/ordering"
	_ "go.etcd.io/etcd/client/v3/snapshot"
	_ "go.etcd.io/etcd/client/v3/yaml"

	_ "github.com/fairlead-go/fairlead/cache"
	_ "github.com/fairlead-go/fairlead/clientv3/clientv3util"
	_ "github.com/fairlead-go/fairlead/clientv3/credentials"
	_ "github.com/fairlead-go/fairlead/clientv3/kubernetes"
	_ "github.com/fairlead-go/fairlead/clientv3/mirror"
	_ "github.com/fairlead-go/fairlead/clientv3/mock/mockserver"
	_ "github.com/fairlead-go/fairlead/clientv3/namespace"
	_ "github.com/fairlead-go/fairlead/clientv3/naming"
	_ "github.com/fairlead-go/fairlead/clientv3/ordering"
	_ "github.com/fairlead-go/fairlead/clientv3/snapshot"
	_ "github.com/fairlead-go/fairlead/clientv3/yaml"
	_ "github.com/fairlead-go/fairlead/discovery/grpcdisc"
	_ "github.com/fairlead-go/fairlead/discovery/httpdisc"
)

// TestTogether: with every package of both clients linked, their registrations with gRPC do not
// clash, and each reads what the other wrote. The other tests here use both resolvers.
func TestTogether(t *testing.T) {
	o, x := dial(t)
	ctx := within(t)
	if _, err := o.Put(ctx, "together", "ours"); err != nil {
		t.Fatal(err)
	}
	r, err := x.Txn(ctx).
		If(theirs.Compare(theirs.Value("together"), "=", "ours")).
		Then(theirs.OpPut("together", "theirs")).
		Commit()
	if err != nil || !r.Succeeded {
		t.Fatalf("theirs does not see what ours wrote: %v, %v", r, err)
	}
	g, err := o.Get(ctx, "together")
	if err != nil || len(g.Kvs) != 1 || string(g.Kvs[0].Value) != "theirs" {
		t.Errorf("ours does not see what theirs wrote: %v, %v", g, err)
	}
}
