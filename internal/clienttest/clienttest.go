// Package clienttest is shared by the tests of the packages above the client: clients of real
// servers that end with the test, and functions that wait for conditions.
package clienttest

import (
	"context"
	"log"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Long is far longer than any step of a test takes on a busy machine.
const Long = 30 * time.Second

// Dial makes a client that is closed with the test.
func Dial(t testing.TB, endpoints ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
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

// Shared returns a client of the server that the tests of a package share. Tests use keys that
// begin with their names; these keys are removed when the test ends.
func Shared(t testing.TB) *clientv3.Client {
	t.Helper()
	c := Dial(t, etcdtest.Shared(t).Endpoints()...)
	t.Cleanup(func() {
		if _, err := c.Delete(context.Background(), t.Name(), clientv3.WithPrefix()); err != nil {
			t.Errorf("remove the test's keys: %v", err)
		}
	})
	return c
}

// ForExample returns a client of the shared server for examples, which have no testing.TB. It must
// be closed.
func ForExample() *clientv3.Client {
	server, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// Within returns a context for at most d; it ends with the test.
func Within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// Await calls ok repeatedly until it is true, for Long at most.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(Long); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, Long)
		}
	}
}

// StorageKnown waits until the member of c knows its storage version, which it does some seconds
// after its start. Servers before 3.6 have none.
func StorageKnown(t testing.TB, c *clientv3.Client) {
	t.Helper()
	Await(t, "a storage version", func() bool {
		r, err := c.Status(Within(t, Long), c.Endpoints()[0])
		return err == nil && (r.StorageVersion >= "3.6" || r.Version < "3.6") // a new one says 3.5 first
	})
}

// Receive receives one value, within Long.
func Receive[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	limit := time.NewTimer(Long)
	defer limit.Stop()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("%s: the channel is closed", what)
		}
		return v
	case <-limit.C:
		t.Fatalf("%s: not within %v", what, Long)
	}
	return v
}

// OK fails the test if err is not nil.
func OK(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
