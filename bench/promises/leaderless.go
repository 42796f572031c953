package main

// Row 13: watches on a member that has no leader.

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// streams records on which member a client's watches are.
type streams struct {
	mu sync.Mutex
	on string // guarded by mu; the endpoint of the stream that was opened last
}

func (s *streams) hook(i ours.StreamInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.Service == "Watch" && !i.Ended {
		s.on = i.Member
	}
}

func (s *streams) member() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

func leaderless(ctx context.Context, t *trial) error {
	c, err := t.cluster(etcdtest.Options{Members: 3, PeerProxied: true})
	if err != nil {
		return err
	}
	victim, err := load.Choose(ctx, c, false)
	if err != nil {
		return err
	}
	writer, err := t.ours(ours.Config{Endpoints: load.Spared(c, victim)})
	if err != nil {
		return err
	}
	type watching struct {
		c      *ours.Client
		at     *streams
		ch     ours.WatchChan
		strict bool
	}
	var all []watching
	for i := range 2 * holders {
		w := watching{at: &streams{}, strict: i%2 == 0}
		w.c, err = t.ours(ours.Config{Endpoints: c.Endpoints(), Hooks: ours.Hooks{Stream: w.at.hook}})
		if err != nil {
			return err
		}
		wctx := ctx
		if w.strict {
			wctx = ours.WithRequireLeader(ctx)
		}
		w.ch = w.c.Watch(wctx, "k")
		all = append(all, w)
	}
	there := make(map[int]bool)
	for i, w := range all {
		there[i] = w.at.member() == victim.Endpoint
	}
	if err := victim.PartitionFromPeers(); err != nil {
		return err
	}
	cut := time.Now()
	if _, err := writer.Put(ctx, "k", "after"); err != nil {
		return err
	}
	silent, affected, readable := 0, 0, 0
	var last time.Duration
	for i, w := range all {
		if there[i] {
			affected++
		}
		r, ok, err := receive(ctx, w.ch, time.Until(cut.Add(patience)))
		if err != nil || !ok || r.Err() != nil {
			silent++
			continue
		}
		if there[i] {
			last = time.Since(cut)
			for _, s := range w.c.MemberStates() {
				if s.Endpoint == victim.Endpoint && s.State != "healthy" && s.LastErr != nil {
					readable++
				}
			}
		}
	}
	t.under("%d clients with a watch each, half require a leader; a follower cut off from its peers", len(all))
	t.show("watches that were there", "", float64(affected))
	t.promise("watches that ended or fell silent", "", 0, float64(silent)).seen("silent, ended")
	t.show("the last one delivers again after", "s", last.Seconds())
	t.promise("clients of those that do not know the member's state", "", 0, float64(affected-readable))

	if err := victim.HealPeers(); err != nil {
		return err
	}
	if err := c.WaitHealthy(ctx); err != nil {
		return err
	}
	for _, m := range c.Members()[:2] {
		m.Kill()
	}
	killed := time.Now()
	wrong := 0
	for _, w := range all {
		if !w.strict {
			continue
		}
		r, ok, err := receive(ctx, w.ch, time.Until(killed.Add(patience)))
		if err != nil || !ok || r.Err() != rpctypes.ErrNoLeader {
			wrong++
		}
	}
	took := time.Since(killed)
	for _, w := range all {
		if w.strict {
			continue
		}
		select {
		case <-w.ch: // the watch has nothing to deliver, so this is its end
			wrong++
		default:
		}
	}
	t.under("two of three members killed: those that require a leader must end with ErrNoLeader, no others")
	t.promise("watches for which that is not so", "", 0, float64(wrong))
	t.show("all those had ended after", "s", took.Seconds())
	return nil
}
