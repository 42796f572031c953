package clientv3_test

import (
	"testing"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A program that closes the connection and forgets the client leaves no goroutines behind.
func TestClosedConnectionLeavesNothing(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	etcdtest.CheckLeaks(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: cl.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	works(t, c)
	watch := c.Watch(ctxFor(t, long), "k")
	if err := c.ActiveConnection().Close(); err != nil {
		t.Fatal(err)
	}
	if r := next(t, watch); !clientv3.IsConnCanceled(r.Err()) {
		t.Errorf("the watch: %+v", r)
	}
}
