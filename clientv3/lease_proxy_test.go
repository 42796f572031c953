package clientv3_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestLeasesBehindTheProxy: etcd's gRPC proxy answers a renewal when its own for that lease is due,
// up to half a TTL later, and those of other leases meanwhile. No lease is lost by that, nor when
// the etcd behind the proxy stands still for half a second.
func TestLeasesBehindTheProxy(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		ttl     int64
		leases  int
		freezes bool
	}{{1, 4, false}, {2, 10, true}, {3, 10, true}} {
		t.Run(fmt.Sprintf("%d of TTL %d, freezes %v", x.leases, x.ttl, x.freezes), func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t, etcdtest.Options{})
			m := cl.Members()[0]
			c := dial(t, clientv3.Config{Endpoints: []string{etcdtest.Proxy(t, cl)}})
			ctx := ctxFor(t, 2*long)
			lost := make(chan int, x.leases)
			kept := 0
			keep := time.NewTicker(time.Second / time.Duration(x.leases)) // the proxy has all its phases
			defer keep.Stop()
			freeze, thaw := time.NewTicker(2300*time.Millisecond), (<-chan time.Time)(nil)
			defer freeze.Stop()
			for end := time.After(12 * time.Second); ; {
				select {
				case <-end:
					return
				case i := <-lost:
					t.Fatalf("lease %d was lost", i)
				case <-keep.C:
					if kept == x.leases {
						break
					}
					lease, err := c.Grant(ctx, x.ttl)
					if err != nil {
						t.Fatal(err)
					}
					ch, err := c.KeepAlive(ctx, lease.ID)
					if err != nil {
						t.Fatal(err)
					}
					i := kept
					kept++
					go func() {
						for range ch {
						}
						lost <- i
					}()
				case <-freeze.C:
					if !x.freezes || kept < x.leases {
						break
					}
					if err := m.Freeze(); err != nil {
						t.Fatal(err)
					}
					thaw = time.After(500 * time.Millisecond)
				case <-thaw:
					if err := m.Thaw(); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}
