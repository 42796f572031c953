package main

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// fault is something that happens to a cluster of three members.
type fault struct {
	name string
	// leader means that the victim is the leader.
	leader bool
	strike func(c *etcdtest.Cluster, m *etcdtest.Member) error
	// mend is called when the outage of the whole cluster ends. If nil, the fault lasts to the end
	// of the measurement.
	mend func(c *etcdtest.Cluster) error
	// stall is how long the victim is frozen; 0: this is another fault.
	stall time.Duration
}

// outage is how long all members are away: three times the leases' TTL.
const outage = 3 * leaseTTL * time.Second

func freeze(_ *etcdtest.Cluster, m *etcdtest.Member) error { return m.Freeze() }

func kill(_ *etcdtest.Cluster, m *etcdtest.Member) error {
	m.Kill()
	return nil
}

func terminate(_ *etcdtest.Cluster, m *etcdtest.Member) error {
	m.Terminate()
	return nil
}

func partition(_ *etcdtest.Cluster, m *etcdtest.Member) error { return m.PartitionFromPeers() }

var faults = []fault{
	{name: "follower frozen", strike: freeze},
	{name: "leader frozen", leader: true, strike: freeze},
	{name: "follower killed", strike: kill},
	{name: "leader killed", leader: true, strike: kill},
	{name: "follower stopped (SIGTERM)", strike: terminate},
	{name: "leader stopped (SIGTERM)", leader: true, strike: terminate},
	{name: "follower cut off from peers", strike: partition},
	{name: "leader cut off from peers", leader: true, strike: partition},
	{name: "follower 200 ms slower", strike: func(_ *etcdtest.Cluster, m *etcdtest.Member) error {
		m.Proxy().Delay(100*time.Millisecond, faultnet.Both)
		return nil
	}},
	{name: "all killed, back after 15 s", strike: func(c *etcdtest.Cluster, _ *etcdtest.Member) error {
		for _, m := range c.Members() {
			m.Kill()
		}
		return nil
	}, mend: func(c *etcdtest.Cluster) error {
		var err error
		for _, m := range c.Members() {
			err = errors.Join(err, m.Restart())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return errors.Join(err, c.WaitHealthy(ctx))
	}},
}

// stalls are shorter than stallDeadline: a call that waits gets an answer.
var stalls = []fault{
	{name: "follower stands still 1.5 s", strike: freeze, stall: 1500 * time.Millisecond},
	{name: "leader stands still 1.5 s", leader: true, strike: freeze, stall: 1500 * time.Millisecond},
	{name: "follower stands still 3 s", strike: freeze, stall: 3 * time.Second},
	{name: "leader stands still 3 s", leader: true, strike: freeze, stall: 3 * time.Second},
}

// stallDeadline is the deadline of each call while a member is frozen for a while.
const stallDeadline = 5 * time.Second
