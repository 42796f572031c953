package clientv3_test

import (
	"context"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestQuietWatchOnMemberThatIsCutOff: a quiet watch goes elsewhere when its member is cut off from
// the others, although that one still answers. The test logs how soon: it takes that member 1 to
// 2 s to miss its leader.
func TestQuietWatchOnMemberThatIsCutOff(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, PeerProxied: true})
	t.Run("follower", func(t *testing.T) { watchOnCutOff(t, cl, cl.Followers(t)[0]) })
	t.Run("leader", func(t *testing.T) { watchOnCutOff(t, cl, cl.Leader(t)) })
}

func watchOnCutOff(t *testing.T, cl *etcdtest.Cluster, server *etcdtest.Member) {
	ctx := clienttest.Within(t, clienttest.Long)
	c := dial(t, clientv3.Config{Endpoints: []string{server.Endpoint}})
	watch := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	next(t, watch)
	c.SetEndpoints(cl.Endpoints()...)
	var others []string
	for _, m := range cl.Members() {
		if m != server {
			others = append(others, m.Endpoint)
		}
	}
	writer := dial(t, clientv3.Config{Endpoints: others})
	clienttest.OK(t, "partition", server.PartitionFromPeers())
	began := time.Now()
	var r clientv3.WatchResponse
	for silent := true; silent; {
		soon, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, _ = writer.Put(soon, "k", "v") // a put that the old leader took may wait for long
		cancel()
		select {
		case r = <-watch:
			silent = false
		case <-ctx.Done():
			t.Fatalf("the watch is silent; the members: %+v", c.MemberStates())
		default:
		}
	}
	if r.Err() != nil || len(r.Events) == 0 {
		t.Errorf("got %+v, %v, want events", r, r.Err())
	}
	t.Logf("events again after %v", time.Since(began))
	clienttest.OK(t, "heal", server.HealPeers())
	clienttest.OK(t, "healthy", cl.WaitHealthy(ctx))
}
