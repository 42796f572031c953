package clientv3_test

import (
	"context"
	"errors"
	"flag"
	"log"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// atOnce is how many parallel tests run at the same time, unless -parallel says
// otherwise: those tests mostly wait, so it is more than there may be processors.
const atOnce = "4"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil { // before the command line is parsed
		log.Fatal(err)
	}
	etcdtest.Main(m)
}

// dial makes a client that is closed with the test.
func dial(t testing.TB, cfg clientv3.Config) *clientv3.Client {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	c, err := clientv3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// shared is a client of the server that the tests of this package share. The test
// may use the key of its name and those below it; they are removed at its end, so
// that a second run (-count=2) begins as the first did.
func shared(t testing.TB) *clientv3.Client {
	t.Helper()
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), long)
		defer cancel()
		_, err := c.Txn(ctx).
			Then(clientv3.OpDelete(t.Name()), clientv3.OpDelete(t.Name()+"/", clientv3.WithPrefix())).
			Commit()
		if err != nil && !errors.Is(err, clientv3.ErrClosed) {
			t.Errorf("remove the test's keys: %v", err)
		}
	})
	return c
}

// long is far above what anything here takes on a busy machine.
const long = 30 * time.Second

func ctxFor(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// serverAtLeast reports whether the servers of this run are of a version ("3.6") or
// later. It chooses between expectations where servers differ; what the client does
// itself is the same on all of them.
func serverAtLeast(t testing.TB, version string) bool {
	t.Helper()
	// All versions are 3.x with one digit, so they compare as texts.
	return etcdtest.Shared(t).Version() >= version
}
