package main

// Rows 1 and 2: a member is frozen (SIGSTOP). Its kernel goes on taking connections and
// bytes, and nothing answers.

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	callers  = 100              // calls per second
	holders  = 20               // clients with a lease or a watch, of each kind
	measured = 10 * time.Second // after the fault: both TTLs run out after an election

	// The promise for failed writes is a share of those of 20 s.
	shareOf = 20 * callers / 2
)

func silentMember(ctx context.Context, t *trial) error {
	for _, leader := range []bool{false, true} {
		if err := frozen(ctx, t, leader); err != nil {
			return err
		}
	}
	return nil
}

func frozen(ctx context.Context, t *trial, leader bool) error {
	c, err := t.cluster(etcdtest.Options{Members: 3})
	if err != nil {
		return err
	}
	defer c.Stop()
	eps := c.Endpoints()
	busy, err := load.Hold(ctx, eps, load.Fairlead, holders, 5, "busy")
	if err != nil {
		return err
	}
	defer busy.Close()
	idle, err := load.Hold(ctx, eps, load.Fairlead, holders, 0, "idle") // nothing but a watch
	if err != nil {
		return err
	}
	defer idle.Close()
	short, err := load.Hold(ctx, eps, load.Fairlead, holders, 3, "")
	if err != nil {
		return err
	}
	defer short.Close()
	client, err := load.Fairlead(eps)
	if err != nil {
		return err
	}
	defer client.Close()
	victim, err := load.Choose(ctx, c, leader)
	if err != nil {
		return err
	}
	writer, err := load.Fairlead(load.Spared(c, victim))
	if err != nil {
		return err
	}
	defer writer.Close()
	plan := load.Plan{Rate: callers, For: 2 * time.Second, Deadline: time.Second, Do: load.Mixed(client)}
	changes := load.Plan{Rate: 10, For: plan.For, Deadline: time.Second}
	changes.Do = func(ctx context.Context, i int) (bool, error) {
		return true, writer.Put(ctx, "busy", fmt.Sprint("before ", i))
	}
	var wg sync.WaitGroup
	wg.Go(func() { load.Drive(ctx, changes) })
	load.Drive(ctx, plan) // everything is warm
	wg.Wait()

	if err := victim.Freeze(); err != nil {
		return err
	}
	struck := time.Now()
	led := struck
	var calls load.Calls
	var noLeader error
	plan.For, changes.For = measured, measured
	changes.Do = func(ctx context.Context, i int) (bool, error) {
		key := "busy"
		if i%2 == 1 {
			key = "idle"
		}
		return true, writer.Put(ctx, key, fmt.Sprint(load.After, i))
	}
	wg.Go(func() { calls = load.Drive(ctx, plan) })
	wg.Go(func() { load.Drive(ctx, changes) })
	if leader {
		wg.Go(func() { led, noLeader = load.Elected(ctx, c, victim) })
	}
	wg.Wait()
	if noLeader != nil {
		return noLeader
	}
	frozenFigures(t, leader, calls, struck, led)
	for _, l := range []struct {
		crowd *load.Crowd
		ttl   int
		seen  string
	}{{short, 3, ""}, {busy, 5, leaderOr(leader, "20", "6")}} {
		t.promise(fmt.Sprintf("leases lost of %d, TTL %d s", holders, l.ttl), "", 0, float64(l.crowd.Lost(ctx, c, victim))).seen(l.seen)
	}
	for _, w := range []struct {
		crowd *load.Crowd
		name  string
		limit time.Duration
	}{{busy, "busy", leaderOr(leader, 5*time.Second, 3*time.Second)}, {idle, "idle", 5 * time.Second}} {
		silent, last := w.crowd.Silent(struck.Add(w.limit))
		f := t.promise(fmt.Sprintf("%s watches silent after %v, of %d", w.name, w.limit, holders), "", 0, float64(silent))
		if w.crowd == busy {
			f.seen("8 or 9")
		}
		t.show(fmt.Sprintf("%s watches: the last one delivers again after", w.name), "s", max(0, last.Sub(struck).Seconds()))
	}
	return nil
}

func leaderOr[T any](leader bool, yes, no T) T {
	if leader {
		return yes
	}
	return no
}

func frozenFigures(t *trial, leader bool, calls load.Calls, struck, led time.Time) {
	reads, writes := calls.Of(false), calls.Of(true)
	t.under("%s frozen, %d calls/s with deadlines of 1 s for %v", leaderOr(leader, "leader", "follower"), callers, measured)
	if leader {
		t.show("new leader seen after", "s", led.Sub(struck).Seconds())
		t.show("failed reads", "", float64(len(reads.Failed())))
		t.promise("failed reads made after the election", "", 0, float64(len(reads.Failed().After(led)))).seen("34 to 38 %")
	} else {
		t.promise("failed reads", "", 0, float64(len(reads.Failed()))).seen("33 %")
	}
	t.promise("failed writes, as a share of those of 20 s", "%", leaderOr(leader, 8.0, 2.0), 100*float64(len(writes.Failed()))/shareOf).seen(leaderOr(leader, "34 to 38 %", "33 %"))
	t.promise("last failed write made after", "s", leaderOr(leader, 4.0, 2.0), writes.Failed().Last(struck).Seconds()).seen("never ends")
}

// renewals records the renewals of a client's leases on all its streams, by intercepting
// them.
type renewals struct {
	mu      sync.Mutex
	streams int
	sent    []renewal // guarded by mu, in order
}

type renewal struct {
	lease    int64
	stream   int
	at       time.Time
	answered bool
}

func (r *renewals) option() grpc.DialOption {
	return grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, m string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := open(ctx, d, cc, m, opts...)
		if err != nil || m != pb.Lease_LeaseKeepAlive_FullMethodName {
			return s, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.streams++
		return &renewalStream{ClientStream: s, r: r, no: r.streams}, nil
	})
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

// gaps returns how many renewals of one lease had to be sent again, and the longest wait
// before that.
func (r *renewals) gaps(lease int64, from time.Time) (n int, longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open *renewal
	for i := range r.sent {
		q := &r.sent[i]
		if q.lease != lease || q.at.Before(from) {
			continue
		}
		if open != nil {
			n++
			longest = max(longest, q.at.Sub(open.at))
		}
		open = nil
		if !q.answered {
			open = q
		}
	}
	return n, longest
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

// renewalsMoveFrom freezes the only member that the client knows at first, so that its
// renewals are there; it learns of the others just before.
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
	// Just before the renewals with the longer TTL are due, a third of it after the last.
	// Later than that, the probe of the quiet connection would find the member first.
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
		again, longest := 0, time.Duration(0)
		for _, id := range leases[ttl] {
			n, d := r.gaps(int64(id), struck)
			again, longest = again+n, max(longest, d)
		}
		t.show(fmt.Sprintf("renewals sent again, TTL %d s", ttl), "", float64(again))
		// A tenth of a second for timers and for opening a stream.
		limit := min(1, float64(ttl)/6) + 0.1
		t.promise(fmt.Sprintf("longest wait before one was, TTL %d s", ttl), "s", limit, longest.Seconds()).seen("no limit")
	}
	t.promise(fmt.Sprintf("leases lost of %d, TTL 3 s and 6 s", holders), "", 0, float64(ended))
	return nil
}
