package clientv3_test

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// If servers refuse a user for a while, for example since the password was changed, a lease with a
// longer TTL is not lost. A lease that is lost says why.
func TestLeaseOfRefusedUser(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	r := &recorder{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass", Hooks: r.hooks()})
	ctx := ctxFor(t, 2*long)
	password := func(p string) {
		t.Helper()
		if _, err := root.UserChangePassword(ctx, "user", p); err != nil {
			t.Fatal(err)
		}
	}
	of := func(id clientv3.LeaseID, e clientv3.LeaseEvent) func() bool {
		return has(r, &r.leases, func(l clientv3.LeaseInfo) bool { return l.ID == id && l.Event == e })
	}
	long, renewals := keptLease(t, ctx, c, 12)
	short, ending := keptLease(t, ctx, c, 4)
	password("other")
	ends(t, ending)
	await(t, "the long lease is in danger", of(long, clientv3.LeaseAtRisk))
	password("pass")
	await(t, "the long lease is renewed again", of(long, clientv3.LeaseRestored))
	select {
	case _, ok := <-renewals:
		if !ok {
			t.Error("the channel of the long lease is closed")
		}
	default:
	}
	if !has(r, &r.leases, func(l clientv3.LeaseInfo) bool {
		return l.ID == short && l.Event == clientv3.LeaseLost && errors.Is(l.Err, rpctypes.ErrAuthFailed)
	})() {
		t.Error("the loss of the short lease does not say why")
	}
}
