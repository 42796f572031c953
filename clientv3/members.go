package clientv3

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/retry"
)

// MemberState is how a member is, as the client sees it.
type MemberState string

const (
	// MemberConnecting has no connection.
	MemberConnecting MemberState = "connecting"
	// MemberHealthy gets ordinary calls.
	MemberHealthy MemberState = "healthy"
	// MemberStalled is alive, but calls do not finish: it has no leader or no quorum, defragments,
	// or is a learner.
	MemberStalled MemberState = "stalled"
	// MemberEjected does not answer. It is used again when it does, or when a fresh connection to
	// it answers.
	MemberEjected MemberState = "ejected"
)

// MemberStatus is what the client knows of one endpoint.
type MemberStatus struct {
	Endpoint string
	State    MemberState
	Since    time.Time     // when State began
	Latency  time.Duration // of recent short calls; 0 if there was none
	LastErr  error         // why it is not healthy; nil if it is
	ID       uint64        // etcd's id of the member; 0 if not known yet
}

// MemberStates describes the endpoints as the client sees them now.
func (c *Client) MemberStates() []MemberStatus {
	if !c.connected() {
		return nil
	}
	states := c.link.set.States()
	list := make([]MemberStatus, len(states))
	for i, s := range states {
		list[i] = MemberStatus{
			Endpoint: s.Endpoint, State: MemberState(s.State.String()), Since: s.Since, Latency: s.Latency,
			LastErr: s.Err, ID: s.ID,
		}
	}
	return list
}

const (
	// leaderFor is how long a leader is believed to be one without asking again.
	leaderFor = 5 * time.Second
	// leaderAsk bounds the question; knowing the leader only saves a hop. Members that are farther
	// away are not asked: a stream that replaces another has no time to lose.
	leaderAsk = 300 * time.Millisecond
	// leaderSeek bounds it where nobody else will do, and first connections are being made.
	leaderSeek = 2 * time.Second
)

// leader returns the member that leads, nil if that cannot be found out soon. Only the first
// question is waited for: a stream that replaces another takes what was known before, and those
// after it what is found out meanwhile.
func (c *Client) leader(ctx context.Context) *balancer.Member {
	c.leading.mu.Lock()
	defer c.leading.mu.Unlock()
	if asked := c.leading.asked; time.Since(asked) >= leaderFor {
		c.leading.asked = time.Now()
		if asked.IsZero() {
			c.leading.member = c.findLeader(ctx, leaderAsk, nearby)
		} else {
			c.group.Go(func(ctx context.Context) {
				m := c.findLeader(ctx, leaderAsk, nearby)
				c.leading.mu.Lock()
				c.leading.member = m
				c.leading.mu.Unlock()
			})
		}
	}
	return c.leading.member
}

func nearby(m *balancer.Member) bool { return m.Near(leaderAsk) }

// findLeader asks the members that are worth it, and takes the first that leads.
func (c *Client) findLeader(
	ctx context.Context,
	limit time.Duration,
	worth func(*balancer.Member) bool,
) *balancer.Member {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	members := c.link.set.Members()
	found := make(chan *balancer.Member, len(members))
	asked := 0
	for _, m := range members {
		if !worth(m) {
			continue
		}
		started := c.group.Go(func(context.Context) {
			r, err := pb.NewMaintenanceClient(c.link.conn).Status(retry.Pin(ctx, m), &pb.StatusRequest{})
			if err != nil || r.Leader == 0 || r.Leader != r.GetHeader().GetMemberId() {
				found <- nil
				return
			}
			found <- m
		})
		if started {
			asked++
		}
	}
	for range asked {
		if m := <-found; m != nil {
			return m
		}
	}
	return nil
}

// toLeader pins calls to the leader if it can be found.
func (c *Client) toLeader(ctx context.Context) context.Context {
	if !c.connected() {
		return ctx
	}
	if m := c.findLeader(WithFailFast(ctx), leaderSeek, (*balancer.Member).MayAnswer); m != nil {
		return retry.Pin(ctx, m)
	}
	return ctx
}
