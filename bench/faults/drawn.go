package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Stalls of drawn lengths, one after the other. Meanwhile a prober asks each member over a
// connection that it has just made. A call of our client may fail only if a probe at the same time
// failed too.

const (
	shortestStall = 50 * time.Millisecond
	longestStall  = 5 * time.Second
	// calm is the shortest time between two stalls in which all members run; the longest is three
	// times as long.
	calm = time.Second
	// probeEvery is how often the prober asks each member to write and to read.
	probeEvery = 200 * time.Millisecond
	// sameTime is how far apart a call and a probe may be that are compared.
	sameTime = probeEvery + 50*time.Millisecond
)

// drawnStall is one stall that was made.
type drawnStall struct {
	at     time.Time
	length time.Duration
	leader bool
}

// probe is the result of one call on one member over a fresh connection.
type probe struct {
	member *etcdtest.Member
	call   load.Call
}

// drawn makes stalls for the given time and prints what failed. It returns how many calls failed
// although no probe did.
func drawn(length time.Duration, seed uint64, rate int) (int, error) {
	draw := rand.New(rand.NewPCG(seed, 0))
	fmt.Printf(
		"stalls of %v to %v for %v, seed %d; %d calls/s with deadlines of %v\n",
		shortestStall,
		longestStall,
		length,
		seed,
		rate,
		stallDeadline,
	)
	c, err := etcdtest.StartMain(etcdtest.Options{Members: 3})
	if err != nil {
		return 0, err
	}
	defer c.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), length+5*time.Minute)
	defer cancel()
	tr := &trace{writes: make(map[string]*write)}
	client, err := load.FairleadWith(tr.option())(c.Endpoints())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	var wg sync.WaitGroup
	var calls load.Calls
	var probes []probe
	driven, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() {
		calls = load.Drive(driven, load.Plan{Rate: rate, Deadline: stallDeadline, Do: tr.do(client)})
	})
	wg.Go(func() { probes = probeAll(driven, c) })
	var stalls []drawnStall
	for end := time.Now().Add(length); time.Now().Before(end) && err == nil; {
		load.Wait(ctx, calm+time.Duration(draw.Int64N(int64(2*calm))))
		var s drawnStall
		s, err = stallOne(ctx, c, draw)
		stalls = append(stalls, s)
	}
	load.Wait(ctx, calm)
	stop()
	wg.Wait()
	if err == nil {
		err = tr.history(ctx, c, nil)
	}
	if err != nil {
		return 0, err
	}
	return judge(stalls, calls, probes, tr.fates()), nil
}

// stallOne freezes one member for a while.
func stallOne(ctx context.Context, c *etcdtest.Cluster, draw *rand.Rand) (drawnStall, error) {
	leader, err := c.FindLeader(ctx)
	if err != nil {
		return drawnStall{}, err
	}
	m := c.Members()[draw.IntN(len(c.Members()))]
	s := drawnStall{
		at:     time.Now(),
		length: shortestStall + time.Duration(draw.Int64N(int64(longestStall-shortestStall))),
		leader: m == leader,
	}
	if err := m.Freeze(); err != nil {
		return s, err
	}
	load.Wait(ctx, s.length)
	return s, m.Thaw()
}

// probeAll asks every member until ctx ends.
func probeAll(ctx context.Context, c *etcdtest.Cluster) (list []probe) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			wg.Wait()
			return list
		}
		for _, m := range c.Members() {
			wg.Go(func() {
				pair := probeOne(context.WithoutCancel(ctx), m)
				mu.Lock()
				defer mu.Unlock()
				for _, call := range pair {
					list = append(list, probe{m, call})
				}
			})
		}
	}
}

// probeOne writes and reads over a new connection.
func probeOne(ctx context.Context, m *etcdtest.Member) (list [2]load.Call) {
	ctx, cancel := context.WithTimeout(ctx, stallDeadline)
	defer cancel()
	made := time.Now()
	cc, err := grpc.NewClient(
		"passthrough:///"+m.Direct,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
	)
	if err != nil {
		return [2]load.Call{{Made: made, Err: err}, {Write: true, Made: made, Err: err}}
	}
	kv := pb.NewKVClient(cc)
	key := []byte("probe/" + m.Name)
	var wg sync.WaitGroup
	for i, do := range []func() error{
		func() error { _, err := kv.Range(ctx, &pb.RangeRequest{Key: key}); return err },
		func() error { _, err := kv.Put(ctx, &pb.PutRequest{Key: key, Value: key}); return err },
	} {
		wg.Go(func() { list[i] = load.Call{Write: i == 1, Made: made, Err: do(), Took: time.Since(made)} })
	}
	wg.Wait()
	if err := cc.Close(); err != nil {
		list[0].Err = errors.Join(list[0].Err, err)
	}
	return list
}

// judge prints each failed call with the probes of its kind made at the same time. It returns how
// many calls failed while no probe did.
func judge(stalls []drawnStall, calls load.Calls, probes []probe, f fates) (alone int) {
	failed := calls.Failed()
	slices.SortFunc(failed, func(a, b load.Call) int { return a.Made.Compare(b.Made) })
	for _, c := range failed {
		asked, refused := 0, make(map[*etcdtest.Member]bool)
		for _, p := range probes {
			if p.call.Write == c.Write && p.call.Made.Sub(c.Made).Abs() <= sameTime {
				asked++
				if p.call.Err != nil {
					refused[p.member] = true
				}
			}
		}
		if len(refused) == 0 {
			alone++
		}
		s := stalls[max(0, lastBefore(stalls, c.Made))]
		kind, role := "read", "follower"
		if c.Write {
			kind = "write"
		}
		if s.leader {
			role = "leader"
		}
		fmt.Printf(
			"%s made %.3f s after a %s began to stand still for %.3f s failed after %.3f s: %v; of %d probes some "+
				"failed on %d members\n",
			kind,
			c.Made.Sub(s.at).Seconds(),
			role,
			s.length.Seconds(),
			c.Took.Seconds(),
			c.Err,
			asked,
			len(refused),
		)
	}
	leaders, broken := 0, 0
	for _, s := range stalls {
		if s.leader {
			leaders++
		}
	}
	for _, p := range probes {
		if p.call.Err != nil {
			broken++
		}
	}
	reads, writes := calls.Of(false), calls.Of(true)
	fmt.Printf(
		"%d stalls, %d of the leader; failed: %d of %d reads, %d of %d writes, %d of %d probes; calls that failed "+
			"beside no failed probe: %d\n",
		len(
			stalls,
		),
		leaders,
		len(reads.Failed()),
		len(reads),
		len(writes.Failed()),
		len(writes),
		broken,
		len(probes),
		alone,
	)
	fmt.Printf(
		"the failed writes: %d never sent, %d executed, %d lost by the servers; of all writes: %d executed twice, %d "+
			"after a later one, %d answered but not executed\n",
		f.unsent,
		f.executed,
		f.lost,
		f.twice,
		f.late,
		f.unkept,
	)
	return alone
}

// lastBefore returns the index of the last stall that began by t, -1 if there is none.
func lastBefore(stalls []drawnStall, t time.Time) int {
	i, _ := slices.BinarySearchFunc(stalls, t, func(s drawnStall, t time.Time) int { return s.at.Compare(t) })
	return i - 1
}
