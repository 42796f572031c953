package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/scrape"
)

// victim chooses the member to freeze: the one that most calls go to, since that hurts most. If it
// leads, another is made leader first: a cluster that loses its leader elects another and loses the
// writes under way, and no client can change that. This part is to show what the client does.
func (d *demo) victim(ctx context.Context) (*child, error) {
	busiest, err := d.busiest(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	heads, err := d.heads(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.Index(d.cluster.members, busiest)
	if heads[i].Leader != heads[i].Header.MemberId {
		return busiest, nil
	}
	// A member can hand over only its own leadership, so the request has to go to that member.
	own, err := clientv3.New(clientv3.Config{Endpoints: []string{busiest.endpoint}, Context: ctx, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	defer own.Close()
	heir := heads[(i+1)%members].Header.MemberId
	if _, err := own.MoveLeader(ctx, heir); err != nil {
		return nil, fmt.Errorf("move the leadership from %s: %w", busiest.name, err)
	}
	if err := d.agreed(ctx, heir); err != nil {
		return nil, err
	}
	d.say.line("%s has handed its leadership over", busiest.name)
	return busiest, nil
}

// agreed waits until all members know the leader: until then they send writes to the former one.
func (d *demo) agreed(ctx context.Context, leader uint64) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		heads, err := d.heads(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(heads, func(h *clientv3.StatusResponse) bool { return h.Leader != leader }) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until all members know their leader: %w", context.Cause(ctx))
		}
	}
}

// heads returns each member's own status.
func (d *demo) heads(ctx context.Context) ([]*clientv3.StatusResponse, error) {
	var heads []*clientv3.StatusResponse
	for _, m := range d.cluster.members {
		resp, err := d.client.Status(ctx, m.endpoint)
		if err != nil {
			return nil, fmt.Errorf("status of %s: %w", m.name, err)
		}
		heads = append(heads, resp)
	}
	return heads, nil
}

// busiest returns the member whose server received most from clients within a short while.
func (d *demo) busiest(ctx context.Context) (*child, error) {
	pages := scrape.New(nil)
	defer pages.Close()
	received := func(m *child) (float64, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return pages.Sum(ctx, m.endpoint, "etcd_network_client_grpc_received_bytes_total")
	}
	var start [members]float64
	for i, m := range d.cluster.members {
		n, err := received(m)
		if err != nil {
			return nil, err
		}
		start[i] = n
	}
	wait := time.NewTimer(400 * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var top *child
	most := -1.0
	for i, m := range d.cluster.members {
		n, err := received(m)
		if err != nil {
			return nil, err
		}
		if n-start[i] > most {
			top, most = m, n-start[i]
		}
	}
	return top, nil
}
