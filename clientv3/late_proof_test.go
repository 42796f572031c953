package clientv3_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestProofThatEtcdOvertakes: a wiped etcd says that it is behind the events that were delivered.
// When it answers the next read, it is far beyond them. The watch is ended all the same.
func TestProofThatEtcdOvertakes(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cl.Members()[0]
	var armed atomic.Bool
	refused, overtaken := make(chan struct{}), make(chan struct{})
	between := func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
		o ...grpc.CallOption,
	) error {
		if strings.HasSuffix(method, "/Range") && armed.CompareAndSwap(true, false) {
			close(refused)
			<-overtaken
		}
		return invoke(ctx, method, req, reply, cc, o...)
	}
	c := dial(t,
		clientv3.Config{Endpoints: cl.Endpoints(), DialOptions: []grpc.DialOption{grpc.WithUnaryInterceptor(between)}})
	ctx := ctxFor(t, 2*long)
	w := c.Watch(ctx, "k")
	for range 20 {
		put(t, c, "k", "v")
	}
	for seen := 0; seen < 20; {
		seen += len(next(t, w).Events)
	}
	m.Proxy().Cut()
	m.Kill()
	if err := os.RemoveAll(m.DataDir); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
	put(t, direct, "k", "anew")
	armed.Store(true)
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-refused:
	case <-ctx.Done():
		t.Fatal("the second read was not asked for")
	}
	for range 30 {
		put(t, direct, "k", "anew")
	}
	close(overtaken)
	if r := next(t, w); !errors.Is(r.Err(), clientv3.ErrHistoryLost) {
		t.Errorf("the watch went on: %+v, %v", r, r.Err())
	}
}
