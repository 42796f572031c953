package main

// Row 2: renewals that a member leaves unanswered.

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// renewals records the renewals of a client's leases on all its streams, with an interceptor.
type renewals struct {
	mu      sync.Mutex
	streams int            // guarded by mu
	sent    []renewal      // guarded by mu, in order
	member  map[int]string // guarded by mu; address of a stream's member, once it has answered
}

type renewal struct {
	lease    int64
	stream   int
	at       time.Time
	answered bool
}

func (r *renewals) option() grpc.DialOption {
	r.member = make(map[int]string)
	return grpc.WithStreamInterceptor(
		func(
			ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, m string, open grpc.Streamer,
			opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			s, err := open(ctx, d, cc, m, opts...)
			if err != nil || m != pb.Lease_LeaseKeepAlive_FullMethodName {
				return s, err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.streams++
			return &renewalStream{ClientStream: s, r: r, no: r.streams}, nil
		},
	)
}

type renewalStream struct {
	grpc.ClientStream
	r  *renewals
	no int
}

func (s *renewalStream) SendMsg(m any) error {
	if q, ok := m.(*pb.LeaseKeepAliveRequest); ok {
		s.r.mu.Lock()
		s.r.sent = append(s.r.sent, renewal{lease: q.ID, stream: s.no, at: time.Now()})
		s.r.mu.Unlock()
	}
	return s.ClientStream.SendMsg(m)
}

func (s *renewalStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	a, ok := m.(*pb.LeaseKeepAliveResponse)
	if err != nil || !ok {
		return err
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if p, ok := peer.FromContext(s.Context()); ok {
		s.r.member[s.no] = p.Addr.String()
	}
	for i := range s.r.sent {
		if q := &s.r.sent[i]; q.stream == s.no && q.lease == a.ID && !q.answered {
			q.answered = true
			break
		}
	}
	return nil
}

// since counts the renewals sent after a time.
func (r *renewals) since(from time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, q := range r.sent {
		if q.at.After(from) {
			n++
		}
	}
	return n
}

// repeated describes renewals that were not answered.
type repeated struct {
	times   int           // how often they were sent again
	longest time.Duration // the longest time before they were
	same    int           // how many of these went to the member that had not answered
}

func (r *renewals) repeated(leases []ours.LeaseID, from time.Time) (sum repeated) {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := make(map[int64]*renewal)
	for i := range r.sent {
		q := &r.sent[i]
		if q.at.Before(from) || !slices.Contains(leases, ours.LeaseID(q.lease)) {
			continue
		}
		if last := open[q.lease]; last != nil {
			sum.times++
			sum.longest = max(sum.longest, q.at.Sub(last.at))
			if a := r.member[last.stream]; a != "" && a == r.member[q.stream] {
				sum.same++
			}
		}
		open[q.lease] = nil
		if !q.answered {
			open[q.lease] = q
		}
	}
	return sum
}

func renewalsMove(ctx context.Context, t *trial) error {
	for _, leader := range []bool{false, true} {
		c, err := t.cluster(etcdtest.Options{Members: 3})
		if err != nil {
			return err
		}
		victim, err := load.Choose(ctx, c, leader)
		if err != nil {
			return err
		}
		if err := renewalsMoveFrom(ctx, t, c, victim, leader); err != nil {
			return err
		}
		if err := c.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// renewalsMoveFrom freezes the only member that the client knows at first, so that its renewals go
// there. The client learns of the other members just before.
func renewalsMoveFrom(ctx context.Context, t *trial, c *etcdtest.Cluster, victim *etcdtest.Member, leader bool) error {
	r := &renewals{}
	client, err := t.ours(ours.Config{Endpoints: []string{victim.Endpoint}, DialOptions: []grpc.DialOption{r.option()}})
	if err != nil {
		return err
	}
	defer client.Close()
	ttls := []int64{3, 6}
	leases := make(map[int64][]ours.LeaseID)
	ended := 0
	var chans []<-chan *ours.LeaseKeepAliveResponse
	for i := range holders {
		ttl := ttls[i%2]
		g, err := client.Grant(ctx, ttl)
		if err != nil {
			return err
		}
		ch, err := client.KeepAlive(ctx, g.ID)
		if err != nil {
			return err
		}
		leases[ttl], chans = append(leases[ttl], g.ID), append(chans, ch)
	}
	for _, ch := range chans { // each is renewed before the fault
		if _, ok, err := receive(ctx, ch, patience); err != nil || !ok {
			return fmt.Errorf("a lease is not renewed: %v", err)
		}
	}
	renewed := time.Now()
	client.SetEndpoints(c.Endpoints()...)
	all := func() bool {
		for _, s := range client.MemberStates() {
			if s.State != "healthy" {
				return false
			}
		}
		return true
	}
	if !within(ctx, patience, all) {
		return fmt.Errorf("the client does not connect to all members")
	}
	// Just before the renewals with the longer TTL are due, a third of the TTL after the last. If
	// the fault came later, the probe of the quiet connection would find the member first.
	load.Wait(ctx, time.Until(renewed.Add(1600*time.Millisecond)))
	if err := victim.Freeze(); err != nil {
		return err
	}
	struck := time.Now()
	load.Wait(ctx, measured)
	for _, ch := range chans {
		for open := true; open; {
			select {
			case _, ok := <-ch:
				if !ok {
					ended++
				}
				open = ok
			default:
				open = false
			}
		}
	}
	t.under("%s frozen that the renewals of %d leases go through", leaderOr(leader, "leader", "follower"), holders)
	for _, ttl := range ttls {
		again := r.repeated(leases[ttl], struck)
		t.show(fmt.Sprintf("renewals sent again, TTL %d s", ttl), "", float64(again.times))
		t.promise(fmt.Sprintf("to the member that did not answer, TTL %d s", ttl), "", 0, float64(again.same))
		// A tenth of a second for timers and for opening a stream.
		limit := min(1, float64(ttl)/6) + 0.1
		t.promise(fmt.Sprintf("longest wait before one was, TTL %d s", ttl), "s", limit, again.longest.Seconds()).
			seen("no limit")
	}
	t.promise(fmt.Sprintf("leases lost of %d, TTL 3 s and 6 s", holders), "", 0, float64(ended))
	return nil
}
