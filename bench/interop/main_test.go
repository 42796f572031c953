package interop

import (
	"context"
	"testing"
	"time"

	theirs "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// long is far longer than anything here takes on a busy machine.
const long = 60 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), long)
	t.Cleanup(cancel)
	return ctx
}

// dial makes a client of each kind of the server that the tests share. Their keys are removed when
// the test ends.
func dial(t testing.TB) (*ours.Client, *theirs.Client) {
	t.Helper()
	endpoints := etcdtest.Shared(t).Endpoints()
	o, err := ours.New(ours.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	x, err := theirs.New(theirs.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	t.Cleanup(func() {
		if _, err := o.Delete(context.Background(), "", ours.WithFromKey()); err != nil {
			t.Error(err)
		}
	})
	return o, x
}
