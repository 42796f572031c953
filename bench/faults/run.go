package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// result is the result of one run, one row of the table.
type result struct {
	calls        load.Calls
	struck       time.Time
	led          time.Time // when there was a leader after the fault
	lost, silent int
	fates        fates
}

func (r *result) String() string {
	reads, writes := r.calls.Of(false), r.calls.Of(true)
	cell := func(l load.Calls) string {
		return fmt.Sprintf("%d of %d (%.1f %%)", len(l.Failed()), len(l), l.FailedShare())
	}
	last := func(l load.Calls) string {
		if len(l.Failed()) == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f s", l.Failed().Last(r.struck).Seconds())
	}
	at := func(q float64) string { return r.calls.Quantile(q).Round(100 * time.Microsecond).String() }
	return strings.Join([]string{cell(reads), cell(writes), last(reads), last(writes), at(0.5), at(0.99),
		fmt.Sprintf("%d of %d", r.lost, holders), fmt.Sprintf("%d of %d", r.silent, holders)}, " | ")
}

// side is one of the two clients.
type side struct {
	name string
	with func(...grpc.DialOption) load.Dialer
	as   func(eps []string, user string) (load.Client, error)
}

func run(f fault, s side, rate int, length, deadline time.Duration, explain bool) (_ *result, err error) {
	dial := s.with()
	c, err := etcdtest.StartMain(etcdtest.Options{Members: 3, Proxied: true, PeerProxied: true})
	if err != nil {
		return nil, err
	}
	defer c.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	h, err := load.Hold(ctx, c.Endpoints(), dial, holders, leaseTTL, "watched")
	if err != nil {
		return nil, err
	}
	defer h.Close()
	tr := &trace{writes: make(map[string]*write)}
	client, err := s.with(tr.option())(c.Endpoints())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	victim, err := load.Choose(ctx, c, f.leader)
	if err != nil {
		return nil, err
	}
	plan := load.Plan{Rate: rate, For: 2 * time.Second, Deadline: deadline, Do: tr.do(client)}
	load.Drive(ctx, plan) // warms everything up
	r := &result{struck: time.Now()}
	if err := f.strike(c, victim); err != nil {
		return nil, err
	}
	if f.mend != nil {
		load.Wait(ctx, outage)
		if err := f.mend(c); err != nil {
			return nil, err
		}
		r.struck = time.Now() // measure from the return of a quorum
	}
	r.led = r.struck
	var wg sync.WaitGroup
	var noLeader, notThawed error
	if f.stall > 0 {
		wg.Go(func() {
			load.Wait(ctx, f.stall)
			notThawed = victim.Thaw()
		})
	}
	wg.Go(func() {
		plan.For = length
		r.calls = load.Drive(ctx, plan)
	})
	wg.Go(func() { r.silent = silent(ctx, h, dial, c, victim, r.struck) })
	if f.leader && f.stall == 0 {
		wg.Go(func() { r.led, noLeader = load.Elected(ctx, c, victim) })
	}
	wg.Wait()
	r.lost = h.Lost(ctx, c, victim)
	if err := errors.Join(noLeader, notThawed, tr.history(ctx, c, victim)); err != nil {
		return nil, err
	}
	r.fates = tr.fates()
	if explain {
		leader, err := c.FindLeader(ctx)
		if err != nil {
			return nil, err
		}
		tr.explain(os.Stderr, c, r.struck, victim, leader)
	}
	return r, nil
}

// silent writes the watched key some time after the fault and counts the watches that
// do not deliver it within a second.
func silent(
	ctx context.Context,
	h *load.Crowd,
	dial load.Dialer,
	c *etcdtest.Cluster,
	victim *etcdtest.Member,
	struck time.Time,
) int {
	o, err := dial(load.Spared(c, victim))
	if err != nil {
		return holders
	}
	defer o.Close()
	load.Wait(ctx, time.Until(struck.Add(watchFor)))
	for try := 0; ; try++ { // an election may still be on
		v := fmt.Sprint(load.After, try)
		pctx, cancel := context.WithTimeout(ctx, deadline)
		err := o.Put(pctx, "watched", v)
		cancel()
		if err == nil {
			load.Wait(ctx, time.Second)
			return h.Without(v)
		}
		if ctx.Err() != nil || time.Since(struck) > 10*watchFor {
			return holders
		}
	}
}
