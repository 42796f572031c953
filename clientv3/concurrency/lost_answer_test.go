package concurrency_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// TestAnswerLostOnSilentMember: a member executes the request of a Lock and goes silent. Lock asks
// another member and finds its key, before the client knows that the silent connection is dead.
func TestAnswerLostOnSilentMember(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	var lost atomic.Bool
	c, err := clientv3.New(
		clientv3.Config{Endpoints: cl.Endpoints(), Hooks: clientv3.Hooks{Attempt: func(a clientv3.AttemptInfo) {
			if a.Method == "KV.Txn" && a.Err != nil {
				lost.Store(true)
			}
		}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx := clienttest.Within(t, clienttest.Long)
	s := session(t, c)
	for n := 0; !lost.Load(); n++ {
		silent := cl.Members()[n%3].Proxy()
		silent.BlackHole(faultnet.ToClient)
		m := concurrency.NewMutex(s, fmt.Sprintf("%s/%d", t.Name(), n))
		if err := m.Lock(ctx); err != nil {
			t.Fatalf("lock %d beside a silent member: %v", n, err)
		}
		if held := keys(t, c, m.Key()); len(held) != 1 || !strings.HasPrefix(m.Key(), t.Name()) {
			t.Errorf("the lock's keys: %q", held)
		}
		if err := m.Unlock(ctx); err != nil {
			t.Errorf("unlock %d: %v", n, err)
		}
		if err := silent.Heal(); err != nil {
			t.Fatal(err)
		}
	}
	if left := keys(t, c, t.Name()); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
