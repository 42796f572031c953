package concurrency_test

import (
	"context"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A key is deleted while a client is away, and that very revision is compacted. etcd 3.4 then takes
// the client's watch, and does not send it the deletion.
func TestKeyDeletedAtTheCompactedRevision(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.4", "3.7"} {
		for _, what := range []string{"waiter", "observer"} {
			t.Run(version+"/"+what, func(t *testing.T) {
				t.Parallel()
				ctx := clienttest.Within(t, clienttest.Long)
				cluster := etcdtest.Start(t, etcdtest.Options{Version: version, Proxied: true})
				m := cluster.Members()[0]
				far, near := clienttest.Dial(t, m.Endpoint), clienttest.Dial(t, m.Direct)
				mine, theirs := session(t, near, concurrency.WithTTL(60)), session(t, far, concurrency.WithTTL(60))
				key, freed := "", make(chan error, 1)
				switch what {
				case "waiter":
					lock := concurrency.NewMutex(mine, "lock")
					clienttest.OK(t, "Lock", lock.Lock(ctx))
					key = lock.Key()
					go func() { freed <- concurrency.NewMutex(theirs, "lock").Lock(ctx) }()
					clienttest.Await(t, "the waiter's key", func() bool {
						r, err := near.Get(ctx, "lock/", clientv3.WithPrefix(), clientv3.WithCountOnly())
						return err == nil && r.Count == 2
					})
				case "observer":
					e := concurrency.NewElection(mine, "election")
					clienttest.OK(t, "Campaign", e.Campaign(ctx, "x"))
					key = e.Key()
					states := concurrency.NewElection(theirs, "election").ObserveState(ctx)
					if s := clienttest.Receive(t, "the leader", states); s.Leader == nil {
						t.Fatalf("%+v", s)
					}
					go func() {
						for s := range states {
							if s.Leader == nil {
								freed <- s.Err
								return
							}
						}
					}()
				}
				settled(t, far)
				m.Proxy().Refuse()
				m.Proxy().Cut()
				r, err := near.Delete(ctx, key)
				clienttest.OK(t, "Delete", err)
				_, err = near.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
				clienttest.OK(t, "Compact", err)
				clienttest.OK(t, "Heal", m.Proxy().Heal())
				select {
				case err := <-freed:
					clienttest.OK(t, "the news", err)
				case <-ctx.Done():
					t.Error("no news of the deletion")
				}
			})
		}
	}
}

// settled waits until what a client's watches had asked for has been answered.
func settled(t *testing.T, c *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
	defer cancel()
	clienttest.Receive(t, "a watch begun later", c.Watch(ctx, t.Name(), clientv3.WithCreatedNotify()))
}
