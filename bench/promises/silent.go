package main

// Row 1: a member is frozen (SIGSTOP). Its kernel still accepts connections and bytes, but nothing
// answers.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	callers  = 100              // calls per second
	holders  = 20               // clients with a lease or a watch, of each kind
	measured = 10 * time.Second // after the fault: both TTLs run out after an election

	// The promise for failed writes is a share of the writes in 20 s.
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
	idle, err := load.Hold(ctx, eps, load.Fairlead, holders, 0, "idle") // only a watch
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
	load.Drive(ctx, plan) // warms everything up
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
		t.promise(fmt.Sprintf("leases lost of %d, TTL %d s", holders, l.ttl), "", 0,
			float64(l.crowd.Lost(ctx, c, victim))).
			seen(l.seen)
	}
	for _, w := range []struct {
		crowd *load.Crowd
		name  string
		limit time.Duration
	}{{busy, "busy", leaderOr(leader, 5*time.Second, 3*time.Second)}, {idle, "idle", 5 * time.Second}} {
		silent, last := w.crowd.Silent(struck.Add(w.limit))
		f := t.promise(
			fmt.Sprintf("%s watches silent after %v, of %d", w.name, w.limit, holders),
			"",
			0,
			float64(silent),
		)
		if w.crowd == busy {
			f.seen("8 or 9")
		}
		t.show(
			fmt.Sprintf("%s watches: the last one delivers again after", w.name),
			"s",
			max(0, last.Sub(struck).Seconds()),
		)
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
	t.under(
		"%s frozen, %d calls/s with deadlines of 1 s for %v",
		leaderOr(leader, "leader", "follower"),
		callers,
		measured,
	)
	if leader {
		t.show("new leader seen after", "s", led.Sub(struck).Seconds())
		t.show("failed reads", "", float64(len(reads.Failed())))
		t.show("last failed read made after", "s", reads.Failed().Last(struck).Seconds())
		t.promise("failed reads made after the election", "", 0, float64(len(reads.Failed().After(led)))).
			seen("34 to 38 %")
	} else {
		t.promise("failed reads", "", 0, float64(len(reads.Failed()))).seen("33 %")
	}
	t.promise("failed writes, as a share of those of 20 s", "%", leaderOr(leader, 8.0, 2.0),
		100*float64(len(writes.Failed()))/shareOf).
		seen(leaderOr(leader, "34 to 38 %", "33 %"))
	t.promise("last failed write made after", "s", leaderOr(leader, 4.0, 2.0), writes.Failed().Last(struck).Seconds()).
		seen("never ends")
}
