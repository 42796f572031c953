package naming_test

import (
	"testing"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestRefusalIsAnErrorOfNext: a refusal by etcd is an error of Next. With the permission Next works
// again.
func TestRefusalIsAnErrorOfNext(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	root := clienttest.Dial(t, cluster.Endpoints()...)
	ctx := clienttest.Within(t, 2*clienttest.Long)
	updater(t, root)(naming.Update{Addr: "a:1"})
	for _, err := range []error{
		second(root.UserAdd(ctx, "root", "root")), second(root.UserGrantRole(ctx, "root", "root")),
		second(root.UserAdd(ctx, "user", "user")), second(root.RoleAdd(ctx, "reader")),
		second(root.UserGrantRole(ctx, "user", "reader")), second(root.AuthEnable(ctx)),
	} {
		clienttest.OK(t, "auth", err)
	}
	login := func(name string) *clientv3.Client {
		c, err := clientv3.New(
			clientv3.Config{Endpoints: cluster.Endpoints(), Username: name, Password: name, Logger: zap.NewNop()},
		)
		clienttest.OK(t, "New", err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	w := resolve(t, login("user"))
	if u, err := w.next(); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("Next: %v, %v", words(u), err)
	}
	prefix := t.Name() + "/"
	_, err := login(
		"root",
	).RoleGrantPermission(ctx, "reader", prefix, clientv3.GetPrefixRangeEnd(prefix),
		clientv3.PermissionType(clientv3.PermRead))
	clienttest.OK(t, "RoleGrantPermission", err)
	w.says("+a:1 <nil>")
}

func second[T any](_ T, err error) error { return err }
