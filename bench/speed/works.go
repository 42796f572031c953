package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/bench/speed/fairlead"
	"github.com/fairlead-go/fairlead/bench/speed/official"
	"github.com/fairlead-go/fairlead/bench/speed/side"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// value is 256 bytes.
var value = string(make([]byte, 256))

func calls(ctx context.Context, r *run) error {
	const rounds, n = 100, 100
	return server(etcdtest.Options{}, func(cl *etcdtest.Cluster) error {
		return both(cl.Endpoints(), func(sides [2]*side.Side) error {
			for _, call := range []struct {
				name string
				do   func(*side.Side) error
			}{
				{"Put of 256 B", func(s *side.Side) error { return s.Put(ctx, "calls/key", value) }},
				{"Get of 256 B", func(s *side.Side) error { return s.Get(ctx, "calls/key") }},
			} {
				c, err := turns(sides, rounds, func(s *side.Side) error {
					for range n {
						if err := call.do(s); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
				r.ratio(
					call.name+": CPU",
					"us",
					float64(c[0].cpu.Microseconds())/n,
					float64(c[1].cpu.Microseconds())/n,
					0.95,
				)
				r.ratio(call.name+": allocations", "", c[0].mallocs/n, c[1].mallocs/n, 0.85)
				r.ratio(
					call.name+": wall",
					"us",
					float64(c[0].wall.Microseconds())/n,
					float64(c[1].wall.Microseconds())/n,
					0,
				)
			}
			return nil
		})
	})
}

func list(ctx context.Context, r *run) error {
	const keys, rounds = 10000, 20
	return server(etcdtest.Options{}, func(cl *etcdtest.Cluster) error {
		return both(cl.Endpoints(), func(sides [2]*side.Side) error {
			err := each(keys, func(i int) error { return sides[1].Put(ctx, fmt.Sprintf("list/%06d", i), value) })
			if err != nil {
				return err
			}
			c, err := turns(sides, rounds, func(s *side.Side) error {
				n, err := s.List(ctx, "list/")
				if err == nil && n != keys {
					err = fmt.Errorf("%d keys", n)
				}
				return err
			})
			if err != nil {
				return err
			}
			r.absolute("allocations", "", c[0].mallocs, c[1].mallocs, 200)
			r.ratio("CPU", "ms", millis(c[0].cpu), millis(c[1].cpu), 0.75)
			r.ratio("wall", "ms", millis(c[0].wall), millis(c[1].wall), 0)
			return nil
		})
	})
}

// replay reads history. The server sends at most 1000 revisions every 100 ms, so each revision has
// ten events: with one event each, both clients would mostly wait.
func replay(ctx context.Context, r *run) error { return replayOf(ctx, r, 0.7) }

func replayOf(ctx context.Context, r *run, bar float64) error {
	const events, together, rounds = 100000, 10, 9
	return server(etcdtest.Options{}, func(cl *etcdtest.Cluster) error {
		return both(cl.Endpoints(), func(sides [2]*side.Side) error {
			err := each(events/together, func(i int) error {
				var keys []string
				for k := range together {
					keys = append(keys, fmt.Sprintf("replay/%03d/%d", i%100, k))
				}
				return sides[1].Fill(ctx, keys, value)
			})
			if err != nil {
				return err
			}
			c, err := turns(sides, rounds, func(s *side.Side) error { return s.Replay(ctx, "replay/", 2, events) })
			if err != nil {
				return err
			}
			r.absolute("allocations of each", "", c[0].mallocs/events, c[1].mallocs/events, 0.1)
			r.ratio("CPU of each", "ns", float64(c[0].cpu)/events, float64(c[1].cpu)/events, bar)
			r.ratio("wall", "ms", millis(c[0].wall), millis(c[1].wall), 0)
			return nil
		})
	})
}

func watchers(ctx context.Context, r *run) error {
	const n = 10000
	return server(etcdtest.Options{}, func(cl *etcdtest.Cluster) error {
		var wall, bytes, goroutines [2]float64
		err := both(cl.Endpoints(), func(sides [2]*side.Side) error {
			for at, s := range sides {
				wctx, cancel := context.WithCancel(ctx)
				defer cancel()
				s.Watch(wctx, "first") // what a client needs only once
				if err := s.Get(ctx, "first"); err != nil {
					return err
				}
				kept := make([]any, n)
				before, routines, began := memory(), runtime.NumGoroutine(), time.Now()
				if err := each(n, func(i int) error {
					kept[i] = s.Watch(wctx, fmt.Sprintf("watchers/%06d", i))
					return ctx.Err()
				}); err != nil {
					return err
				}
				wall[at] = millis(time.Since(began))
				bytes[at] = (memory() - before) / n
				goroutines[at] = float64(runtime.NumGoroutine()-routines) / n
				runtime.KeepAlive(kept)
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.ratio("open all, 64 at once: wall", "ms", wall[0], wall[1], 0.25)
		r.absolute("memory of an idle one", "B", bytes[0], bytes[1], 1024)
		r.absolute("goroutines of an idle one", "", goroutines[0], goroutines[1], 0.01)
		return nil
	})
}

// granted keeps n leases alive.
func granted(ctx context.Context, s *side.Side, n int, ttl int64) ([]int64, error) {
	ids := make([]int64, n)
	err := each(n, func(i int) (err error) {
		ids[i], err = s.Keep(ctx, ttl)
		return err
	})
	return ids, err
}

// leases measures leases of 60 s, and shortLeases those of 9 s, where most of the work is renewing.
func leases(ctx context.Context, r *run) error { return leasesOf(ctx, r, 60, 0.5) }

func shortLeases(ctx context.Context, r *run) error { return leasesOf(ctx, r, 9, 0.6) }

// leasesOf takes turns: in each round each client grants anew. The median of each figure counts.
func leasesOf(ctx context.Context, r *run, ttl int64, bar float64) error {
	const n, rounds = 10000, 3
	window := max(time.Duration(ttl)*time.Second, 20*time.Second) // two renewals of each or more
	return server(etcdtest.Options{}, func(cl *etcdtest.Cluster) error {
		var got [2][]cost
		var bytes, goroutines [2]float64
		for range rounds {
			for at, make := range []func([]string) (*side.Side, error){official.New, fairlead.New} {
				s, err := make(cl.Endpoints())
				if err != nil {
					return err
				}
				defer s.Close()
				if _, err := granted(ctx, s, 1, ttl); err != nil {
					return err
				}
				before, routines := memory(), runtime.NumGoroutine()
				if _, err := granted(ctx, s, n, ttl); err != nil {
					return err
				}
				bytes[at] = (memory() - before) / n
				goroutines[at] = float64(runtime.NumGoroutine()-routines) / n
				c, err := measure(func() error { load.Wait(ctx, window); return ctx.Err() })
				if err != nil {
					return err
				}
				got[at] = append(got[at], c)
				if err := s.Close(); err != nil {
					return err
				}
			}
		}
		c, seconds := [2]cost{middle(got[0]), middle(got[1])}, window.Seconds()
		r.ratio("CPU for each second of renewing", "ms", millis(c[0].cpu)/seconds, millis(c[1].cpu)/seconds, bar)
		r.ratio("allocations for each second", "", c[0].mallocs/seconds, c[1].mallocs/seconds, 0)
		r.absolute("memory of each", "B", bytes[0], bytes[1], 800)
		r.absolute("goroutines of each", "", goroutines[0], goroutines[1], 0.01)
		return nil
	})
}

// manyLeases renews leases for more than a TTL, through the leader and through a follower, which
// forwards them.
func manyLeases(ctx context.Context, r *run) error {
	for _, c := range []struct {
		through           string
		follower, distant bool
	}{
		{"the leader", false, false},
		{"a follower", true, false},
		{"a follower 1 ms away from the leader", true, true},
	} {
		err := server(etcdtest.Options{Members: 3, PeerProxied: c.distant}, func(cl *etcdtest.Cluster) error {
			m, err := cl.FindLeader(ctx)
			if err != nil {
				return err
			}
			if c.follower {
				m = cl.Members()[(slices.Index(cl.Members(), m)+1)%3]
			}
			if c.distant {
				for _, a := range cl.Members() {
					for _, b := range cl.Members() {
						if a != b {
							a.PeerLink(b).Delay(500 * time.Microsecond) // each way
						}
					}
				}
			}
			return keepMany(ctx, r, m.Endpoint, c.through, !c.distant)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keepMany keeps 100,000 leases through one member. own means that all of this process' time is
// the client's; where members are kept apart, the process also carries the traffic between them.
func keepMany(ctx context.Context, r *run, endpoint, through string, own bool) error {
	const n, window = 100000, 70 * time.Second
	s, err := fairlead.New([]string{endpoint})
	if err != nil {
		return err
	}
	defer s.Close()
	before, began := memory(), time.Now()
	ids, err := granted(ctx, s, n, 60)
	if err != nil {
		return err
	}
	took, bytes := time.Since(began), (memory()-before)/n
	c, err := measure(func() error { load.Wait(ctx, window); return ctx.Err() })
	if err != nil {
		return err
	}
	const sample = 20 // asking for all takes longer than renewing them
	lost := make([]bool, n)
	err = each(n/sample, func(i int) error {
		alive, err := s.Alive(ctx, ids[i*sample])
		lost[i] = !alive
		return err
	})
	if err != nil {
		return err
	}
	gone := 0
	for _, l := range lost {
		if l {
			gone++
		}
	}
	r.absolute("through "+through+": lost, of a sample of 5,000", "", 0, float64(gone), 0.01)
	if own {
		r.absolute("through "+through+": CPU for each second", "ms", 0, millis(c.cpu)/window.Seconds(), 0)
	}
	r.absolute("through "+through+": memory of each", "B", 0, bytes, 0)
	r.absolute("through "+through+": granting all", "s", 0, took.Seconds(), 0)
	return nil
}
