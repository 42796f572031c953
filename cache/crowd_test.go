package cache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// TestCrowdSharesAQuorumRead: many reads at the same time need few reads of etcd. None of them uses
// one that began earlier than itself.
func TestCrowdSharesAQuorumRead(t *testing.T) {
	c := clienttest.Shared(t)
	within := clienttest.Within(t, clienttest.Long)
	p := t.Name() + "/"
	kv := &counting{KV: c}
	ca, err := New(c, []string{p}, WithSource(kv, c))
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	if err := ca.WaitReady(within); err != nil {
		t.Fatal(err)
	}
	put := func(value string) int64 {
		r, err := c.Put(within, p+"k", value)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	ca.marking.Store(int64(time.Hour)) // the cache itself makes no read meanwhile
	first := put("1")
	clienttest.Await(t, "the event", func() bool { return ca.Snapshot().Revision() >= first })
	kv.gets.Store(0)
	kv.hold = make(chan struct{})
	kv.held = make(chan struct{}, 100)
	var wg sync.WaitGroup
	read := func(wants ...string) {
		wg.Go(func() {
			r, err := ca.Get(within, p+"k")
			if err != nil || !slices.Contains(wants, string(r.Kvs[0].Value)) {
				t.Errorf("%v, %v instead of one of %v", r, err, wants)
			}
		})
	}
	read("1", "2") // it may see a later write
	clienttest.Receive(t, "the first quorum read", kv.held)
	rev := put("2")
	clienttest.Await(t, "the event", func() bool { return ca.Snapshot().Revision() >= rev })
	const many = 50
	for range many {
		read("2")
	}
	g := ca.feeds[0].gate
	clienttest.Await(t, "all wait for the next one", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.next != nil && g.next.size == many
	})
	close(kv.hold)
	wg.Wait()
	if n := kv.gets.Load(); n != 2 {
		t.Errorf("%d reads of etcd for %d", n, many+1)
	}
}

// counting is a KV whose gets are counted, and held while hold is open.
type counting struct {
	clientv3.KV
	gets atomic.Int64
	hold chan struct{} // set while nothing reads
	held chan struct{}
}

func (k *counting) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	k.gets.Add(1)
	r, err := k.KV.Get(ctx, key, opts...)
	if k.hold != nil {
		k.held <- struct{}{}
		<-k.hold
	}
	return r, err
}
