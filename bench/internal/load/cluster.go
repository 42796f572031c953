package load

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Choose returns the leader, or the first follower.
func Choose(ctx context.Context, c *etcdtest.Cluster, leader bool) (*etcdtest.Member, error) {
	l, err := c.FindLeader(ctx)
	if err != nil || leader {
		return l, err
	}
	for _, m := range c.Members() {
		if m != l {
			return m, nil
		}
	}
	return nil, fmt.Errorf("there is no follower")
}

// Spared returns the direct addresses of all members except victim, for an observer that should
// not notice the fault.
func Spared(c *etcdtest.Cluster, victim *etcdtest.Member) []string {
	var eps []string
	for _, m := range c.Members() {
		if m != victim {
			eps = append(eps, m.Direct)
		}
	}
	return eps
}

// Elected waits until a member other than victim says that it leads, and returns when it saw that.
// It asks the servers, so that a client is judged by their state. A victim that was cut off may
// believe for a while that it still leads.
func Elected(ctx context.Context, c *etcdtest.Cluster, victim *etcdtest.Member) (time.Time, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, m := range c.Members() {
			if m == victim || !m.Running() {
				continue
			}
			if v, err := m.Metric(ctx, "etcd_server_is_leader"); err == nil && v == 1 {
				return time.Now(), nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("no new leader: %w", ctx.Err())
		}
	}
}

// Wait returns after d, or when ctx ends.
func Wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
