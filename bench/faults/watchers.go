package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Thousands of watches of one client on a leader that is killed. They count as resumed when each
// has delivered a value that was written after there was another leader.

const (
	watchedKeys = 100 // as many watches on each
	watchLimit  = 2 * time.Minute
	// deliverLimit is how long one value may take to reach all.
	deliverLimit = 30 * time.Second
	// othersFor is how long the calls of another client are measured after the election.
	othersFor = 5 * time.Second
)

// audience is many watches and the round of values that each has seen last.
type audience struct {
	seen []atomic.Int64
}

// without returns how many watches have not seen the round.
func (a *audience) without(round int64) (n int) {
	for i := range a.seen {
		if a.seen[i].Load() < round {
			n++
		}
	}
	return n
}

func (a *audience) watch(ctx context.Context, c load.Client) error {
	for i := range a.seen {
		err := c.Watch(ctx, watchedKey(i), func(v string) {
			var round int64
			if _, err := fmt.Sscan(v, &round); err == nil {
				a.seen[i].Store(round)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func watchedKey(i int) string { return fmt.Sprint("watched/", i%watchedKeys) }

// reach writes the round to all keys, and again while not all watches have seen it, since a watch
// that was only just begun does not see what was written before.
func (a *audience) reach(ctx context.Context, c load.Client, round int64) error {
	ctx, cancel := context.WithTimeout(ctx, deliverLimit)
	defer cancel()
	for {
		var wg sync.WaitGroup
		errs := make([]error, watchedKeys)
		for i := range watchedKeys {
			wg.Go(func() { errs[i] = c.Put(ctx, watchedKey(i), fmt.Sprint(round)) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		for written := time.Now(); time.Since(written) < 2*time.Second; load.Wait(ctx, 5*time.Millisecond) {
			if a.without(round) == 0 {
				return nil
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%d of %d watches are silent", a.without(round), len(a.seen))
			}
		}
	}
}

// stage is a cluster with a client whose watches are all on the leader, and another client.
type stage struct {
	c               *etcdtest.Cluster
	leader          *etcdtest.Member
	watching, other load.Client
	audience        *audience
}

// set makes a stage with n watches. Its caller closes it even if there is an error.
func (st *stage) set(ctx context.Context, n int, dial load.Dialer) (err error) {
	if st.c, err = etcdtest.StartMain(etcdtest.Options{Members: 3, Proxied: true}); err != nil {
		return err
	}
	if st.leader, err = load.Choose(ctx, st.c, true); err != nil {
		return err
	}
	followers := slices.DeleteFunc(slices.Clone(st.c.Members()),
		func(m *etcdtest.Member) bool { return m == st.leader })
	for _, m := range followers { // until the watches have begun
		m.Proxy().Cut()
	}
	if st.watching, err = dial(st.c.Endpoints()); err != nil {
		return err
	}
	if st.other, err = dial(load.Spared(st.c, st.leader)); err != nil {
		return err
	}
	st.audience = &audience{seen: make([]atomic.Int64, n)}
	if err := st.audience.watch(ctx, st.watching); err != nil {
		return err
	}
	if err := st.audience.reach(ctx, st.other, 1); err != nil {
		return err
	}
	for _, m := range followers {
		if err := m.Proxy().Heal(); err != nil {
			return err
		}
	}
	load.Wait(ctx, 3*time.Second) // the client connects to them
	return ctx.Err()
}

func (st *stage) close() {
	for _, c := range []load.Client{st.watching, st.other} {
		if c != nil {
			c.Close()
		}
	}
	if st.c != nil {
		st.c.Stop()
	}
}

// manyWatches prints how long n watches are silent after the death of the leader that they are on,
// and how long calls of another client take from then on.
func manyWatches(n int, s side) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchLimit)
	defer cancel()
	var st stage
	defer st.close()
	if err := st.set(ctx, n, s.with()); err != nil {
		return err
	}
	driving, stop := context.WithCancel(ctx)
	calls := make(chan load.Calls, 1)
	go func() {
		calls <- load.Drive(driving, load.Plan{Rate: 100, Deadline: deadline, Do: load.Mixed(st.other)})
	}()
	struck := time.Now()
	st.leader.Kill()
	led, err := load.Elected(ctx, st.c, st.leader)
	if err == nil {
		err = st.audience.reach(ctx, st.other, 2)
	}
	resumed := time.Since(led)
	load.Wait(ctx, time.Until(led.Add(othersFor)))
	stop()
	after := (<-calls).After(led).Of(true)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d watches; a new leader %.2f s after the kill; all watches resumed %.2f s after that; "+
		"writes of another client from then on: p50 %v, p99 %v, %d of %d failed\n",
		s.name, n, led.Sub(struck).Seconds(), resumed.Seconds(), after.Quantile(0.5).Round(100*time.Microsecond),
		after.Quantile(0.99).Round(100*time.Microsecond), len(after.Failed()), len(after))
	return nil
}
