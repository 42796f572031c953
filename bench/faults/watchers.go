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
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Thousands of watches of one client on a leader that is killed. They count as resumed when each
// has delivered a value that was written after there was another leader.

const (
	watchLimit = 5 * time.Minute
	// writtenTogether is how many transactions write a value to all keys, one after the other. All
	// at once they would be what the calls of others wait for: with watches on only 100 of 10,000
	// keys for 45 and 96 ms. The watches that resume cost them 3 and 6 ms.
	writtenTogether = 100
	// deliverLimit is how long one value may take to reach all.
	deliverLimit = time.Minute
	// othersFor is how long the calls of another client are measured after the election.
	othersFor = 5 * time.Second
	// beforeFor is how long they are measured before its death.
	beforeFor = 2 * time.Second
	// connected is how long a client takes to connect to members that are back.
	connected = 3 * time.Second
	// foreignAtOnce is how many foreign writes are under way.
	foreignAtOnce = 200
)

// crowded says which watches there are, and what happens before the leader dies.
type crowded struct {
	watches int
	keys    int           // that they watch, as many watches on each
	foreign int           // revisions of other keys after the last event of each watch
	after   time.Duration // from then to the death of the leader, at least 3 s
	users   int           // that have the watches, each with a client of its own; 0: auth is not enabled
	rate    int           // calls of another client per second
}

// audience is many watches and the round of values that each has seen last.
type audience struct {
	crowded
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

// watch begins the watches, which are spread over the clients.
func (a *audience) watch(ctx context.Context, clients []load.Client) error {
	for i := range a.seen {
		k := i % a.keys
		err := clients[a.user(k)].Watch(ctx, a.key(k), func(v string) {
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

func (a *audience) user(key int) int   { return key % max(a.users, 1) }
func (a *audience) key(key int) string { return fmt.Sprint(watchedBy(a.user(key)), key) }

func watchedBy(user int) string { return fmt.Sprintf("watched/%d/", user) }

// reach writes the round to all keys, and again while not all watches have seen it, since a watch
// that was only just begun does not see what was written before.
func (a *audience) reach(ctx context.Context, c load.Client, round int64) error {
	ctx, cancel := context.WithTimeout(ctx, deliverLimit)
	defer cancel()
	names := make([]string, a.keys)
	for i := range names {
		names[i] = a.key(i)
	}
	for {
		for keys := range slices.Chunk(names, max(1, a.keys/writtenTogether)) {
			if err := c.PutTogether(ctx, keys, fmt.Sprint(round)); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
		again := 2 * time.Second
		if round > 1 {
			again = deliverLimit
		}
		for written := time.Now(); time.Since(written) < again; load.Wait(ctx, 5*time.Millisecond) {
			if a.without(round) == 0 {
				return nil
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%d of %d watches are silent", a.without(round), len(a.seen))
			}
		}
	}
}

// stage is a cluster with clients whose watches are all on the leader, and another client.
type stage struct {
	c        *etcdtest.Cluster
	leader   *etcdtest.Member
	watching []load.Client
	other    load.Client
	audience *audience
}

// set makes a stage with these watches. Its caller closes it even if there is an error.
func (st *stage) set(ctx context.Context, w crowded, s side) (err error) {
	if st.c, err = etcdtest.StartMain(etcdtest.Options{Members: 3, Proxied: true}); err != nil {
		return err
	}
	if w.users > 0 {
		if err := enableAuth(ctx, st.c.Endpoints(), w.users); err != nil {
			return err
		}
	}
	if st.leader, err = load.Choose(ctx, st.c, true); err != nil {
		return err
	}
	followers := slices.DeleteFunc(slices.Clone(st.c.Members()),
		func(m *etcdtest.Member) bool { return m == st.leader })
	for _, m := range followers { // until the watches have begun
		m.Proxy().Cut()
	}
	dial := func(eps []string, user string) (load.Client, error) {
		if w.users == 0 {
			return s.with()(eps)
		}
		return s.as(eps, user)
	}
	for i := range max(w.users, 1) {
		c, err := dial(st.c.Endpoints(), fmt.Sprint("user", i))
		if err != nil {
			return err
		}
		st.watching = append(st.watching, c)
	}
	if st.other, err = dial(load.Spared(st.c, st.leader), "root"); err != nil {
		return err
	}
	st.audience = &audience{crowded: w, seen: make([]atomic.Int64, w.watches)}
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
	if err := writeForeign(ctx, st.other, w.foreign); err != nil {
		return err
	}
	load.Wait(ctx, max(w.after, connected))
	return ctx.Err()
}

// enableAuth makes root and n users, each of whom may read what it watches.
func enableAuth(ctx context.Context, eps []string, n int) error {
	c, err := clientv3.New(clientv3.Config{Endpoints: eps})
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range n {
		name, prefix := fmt.Sprint("user", i), watchedBy(i)
		_, err1 := c.RoleAdd(ctx, name)
		_, err2 := c.RoleGrantPermission(ctx, name, prefix, clientv3.GetPrefixRangeEnd(prefix),
			clientv3.PermissionType(clientv3.PermRead))
		_, err3 := c.UserAdd(ctx, name, name)
		_, err4 := c.UserGrantRole(ctx, name, name)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
	}
	_, err1 := c.UserAdd(ctx, "root", "root")
	_, err2 := c.UserGrantRole(ctx, "root", "root")
	_, err3 := c.AuthEnable(ctx)
	return errors.Join(err1, err2, err3)
}

// writeForeign makes n revisions of keys that nobody watches.
func writeForeign(ctx context.Context, c load.Client, n int) error {
	var wg sync.WaitGroup
	var made atomic.Int64
	errs := make([]error, foreignAtOnce)
	for i := range errs {
		wg.Go(func() {
			for made.Add(1) <= int64(n) && errs[i] == nil {
				errs[i] = c.Put(ctx, fmt.Sprint("foreign/", i), "v")
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (st *stage) close() {
	for _, c := range append(st.watching, st.other) {
		if c != nil {
			c.Close()
		}
	}
	if st.c != nil {
		st.c.Stop()
	}
}

// manyWatches prints how long the watches are silent after the death of the leader that they are
// on, and how long calls of another client take from then on.
func manyWatches(w crowded, s side) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchLimit)
	defer cancel()
	var st stage
	defer st.close()
	if err := st.set(ctx, w, s); err != nil {
		return err
	}
	driving, stop := context.WithCancel(ctx)
	calls := make(chan load.Calls, 1)
	go func() {
		calls <- load.Drive(driving, load.Plan{Rate: w.rate, Deadline: deadline, Do: load.Mixed(st.other)})
	}()
	load.Wait(ctx, beforeFor)
	struck := time.Now()
	st.leader.Kill()
	led, err := load.Elected(ctx, st.c, st.leader)
	if err == nil {
		err = st.audience.reach(ctx, st.other, 2)
	}
	resumed := time.Since(led)
	load.Wait(ctx, time.Until(led.Add(othersFor)))
	stop()
	made := (<-calls).Of(true)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d watches on %d keys, %d foreign revisions %v before, %d users; a new leader %.2f s after "+
		"the kill; all watches resumed %.2f s after that; writes of another client: %s before; %s in the second "+
		"after the election; %s in the %v after it\n",
		s.name, w.watches, w.keys, w.foreign, max(w.after, connected)+beforeFor, w.users,
		led.Sub(struck).Seconds(), resumed.Seconds(), took(made.Before(struck)),
		took(made.After(led).Before(led.Add(time.Second))), took(made.After(led)), othersFor)
	return nil
}

// took describes how long calls took.
func took(l load.Calls) string {
	at := func(q float64) time.Duration { return l.Quantile(q).Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, %d of %d failed", at(0.5), at(0.99), len(l.Failed()), len(l))
}
