package pick

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// change updates the instances and waits until the change takes effect. It needs a synctest bubble.
func change(b *Balancer, list []*discovery.Instance) {
	b.Update(list, nil)
	settle()
}

// settle lets the balancer finish the work that is due, which includes a pause.
func settle() {
	time.Sleep(time.Second / 2)
	synctest.Wait()
}

func failing(t testing.TB, b *Balancer, bad ...string) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range 100 {
		in, done, err := b.Pick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got[in.ID]++
		if slices.Contains(bad, in.ID) {
			done.ReportErr(errors.New("refused"))
		} else {
			done.ReportErr(nil)
		}
	}
	settle()
	return got
}

func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loaded(t, RoundRobin(), instances(4, 1))
		failing(t, b, "i-0001")
		if got := failing(t, b, "i-0001"); got["i-0001"] != 0 || len(got) != 3 {
			t.Errorf("it is still picked: %v", got)
		}
		if s := b.Statuses()[1]; !s.Ejected {
			t.Errorf("%+v", s)
		}
		time.Sleep(DefaultBase)
		settle()
		// The instance is back on trial. At its first failure it is ejected again, for twice as
		// long.
		if got := failing(t, b, "i-0001"); got["i-0001"] == 0 {
			t.Errorf("it did not come back: %v", got)
		}
		time.Sleep(DefaultBase)
		settle()
		if got := failing(t, b); got["i-0001"] != 0 {
			t.Errorf("it came back too soon: %v", got)
		}
		time.Sleep(DefaultBase)
		settle()
		if got := failing(t, b); got["i-0001"] != 25 {
			t.Errorf("it did not come back: %v", got)
		}
		// It works: a few failures with successes between them do no harm.
		for range 100 {
			in, done, _ := b.Pick(t.Context())
			if in.ID == "i-0001" && len(b.poke) == 0 {
				done.Report(Failure)
				_, done, _ = b.Pick(t.Context())
				done.Report(Ignored)
				for range 4 {
					_, done, _ = b.Pick(t.Context())
					done.Report(Success)
				}
				continue
			}
			done.Report(Success)
		}
		settle()
		if s := b.Statuses()[1]; s.Ejected {
			t.Errorf("%+v", s)
		}
	})
}

// An instance that comes back gets one call at a time until one has succeeded.
func TestReturningInstanceGetsOneCallAtATime(t *testing.T) {
	for _, p := range policies {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := loaded(t, p.policy, instances(4, 1))
				ctx := func(i int) context.Context { return WithKey(t.Context(), fmt.Sprint(i)) }
				// trials makes many calls at once, and returns those on the instance that was
				// ejected.
				trials := func() (on []Done) {
					var others []Done
					for i := range 200 {
						in, done, err := b.Pick(ctx(i))
						if err != nil {
							t.Fatal(err)
						}
						if in.ID == "i-0001" {
							on = append(on, done)
						} else {
							others = append(others, done)
						}
					}
					for _, done := range others {
						done.Report(Success)
					}
					return on
				}
				one := func(what string) Done {
					t.Helper()
					on := trials()
					if len(on) != 1 {
						t.Fatalf("%s: %d calls", what, len(on))
					}
					return on[0]
				}
				for _, done := range trials() {
					done.Report(Failure)
				}
				settle()
				if n := len(trials()); n > 0 {
					t.Fatalf("ejected: %d calls", n)
				}
				time.Sleep(DefaultBase)
				settle()
				if s := b.Statuses()[1]; !s.Trial || s.Ejected {
					t.Errorf("%+v", s)
				}
				done := one("back")
				if n := len(trials()); n > 0 {
					t.Errorf("%d calls beside the trial", n)
				}
				in, other, err := b.PickOther(ctx(0), b.Statuses()[0].Instance, b.Statuses()[2].Instance)
				if err != nil ||
					in.ID != "i-0003" {
					t.Errorf("another one is %v, %v", in, err)
				} else {
					other.Report(Success)
				}
				done.Report(Ignored) // it says nothing
				stream := one("after one that says nothing")
				time.Sleep(DefaultBase)
				done = one("while one has no end")
				done.Report(Failure)
				settle()
				if n := len(trials()); n > 0 || !b.Statuses()[1].Ejected {
					t.Errorf("after a failure: %d calls", n)
				}
				stream.Report(Ignored)
				time.Sleep(2 * DefaultBase)
				settle()
				one("back again").Report(Success)
				if n := len(trials()); n < 2 || b.Statuses()[1].Trial {
					t.Errorf("after a success: %d calls", n)
				}
			})
		})
	}
}

func TestEjectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := []string{"i-0000", "i-0001", "i-0002", "i-0003"}
		b := loaded(t, RoundRobin(), instances(4, 1))
		for range 5 {
			failing(t, b, all...)
		}
		if got := failing(t, b, all...); len(got) != 2 {
			t.Errorf("all fail, and these are picked: %v", got)
		}
		one := loaded(t, RoundRobin(), instances(1, 1))
		failing(t, one, all...)
		if got := failing(t, one, all...); len(got) != 1 {
			t.Errorf("%v", got)
		}
		off := loaded(t, RoundRobin(), instances(4, 1), WithoutEjection())
		failing(t, off, all...)
		if got := failing(t, off, all...); len(got) != 4 {
			t.Errorf("%v", got)
		}
	})
}

// The first instances are warm; a later one gets more and more.
func TestLaterInstanceWarmsUp(t *testing.T) {
	for _, p := range policies {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list := instances(10, 1)
				b := loaded(t, p.policy, list[:9], WithWarmUp(time.Minute))
				if s := b.Statuses()[0]; s.Share != 1 {
					t.Errorf("%+v", s)
				}
				change(b, list)
				picked := func() int {
					var held []Done // all under way together, as P2C and LeastOutstanding need
					n := 0
					for range 1000 {
						in, done, err := b.Pick(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						if in.ID == "i-0009" {
							n++
						}
						held = append(held, done)
					}
					for _, d := range held {
						d.Report(Ignored)
					}
					return n
				}
				cold := picked()
				time.Sleep(30 * time.Second)
				half := picked()
				time.Sleep(time.Minute)
				warm := picked()
				if cold == 0 || cold > 35 || half < cold || half > 85 || warm < half || warm < 60 {
					t.Errorf("of 1000 calls: %d at first, %d after half the time, %d in the end", cold, half, warm)
				}
			})
		})
	}
}

func TestDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := instances(3, 1)
		b := loaded(t, LeastOutstanding(), list)
		_, held, _ := b.Pick(t.Context())
		gone := *list[1]
		gone.State = discovery.Draining
		change(b, []*discovery.Instance{list[0], &gone, list[2]})
		if got := counts(t, b, 100); got["i-0001"] != 0 {
			t.Errorf("%v", got)
		}
		held.Report(Success)
		change(b, []*discovery.Instance{&gone})
		_, _, err := b.Pick(t.Context())
		var none *NoInstancesError
		if !errors.As(err, &none) || !errors.Is(err, ErrNoInstances) || none.Registered != 1 || none.Draining != 1 {
			t.Errorf("%v", err)
		}
	})
}

func TestEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(P2C())
		defer b.Close()
		_, done, err := b.Pick(t.Context())
		if !errors.Is(err, ErrNoInstances) || err.(*NoInstancesError).Known {
			t.Errorf("%v", err)
		}
		done.Report(Failure) // does nothing
		change(b, nil)
		if _, _, err := b.Pick(t.Context()); !errors.Is(err, ErrNoInstances) || !err.(*NoInstancesError).Known {
			t.Errorf("%v", err)
		}
		w := New(P2C(), WithWait())
		defer w.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := w.Pick(ctx); !errors.Is(err, ErrNoInstances) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		var waiting sync.WaitGroup
		for range 10 {
			waiting.Go(func() {
				if in, _, err := w.Pick(t.Context()); err != nil || in.ID != "i-0000" {
					t.Errorf("%v, %v", in, err)
				}
			})
		}
		settle()
		change(w, nil) // still none
		change(w, instances(1, 1))
		waiting.Wait()
		if err := w.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		change(w, nil)
		waiting.Go(func() {
			if _, _, err := w.Pick(t.Context()); err != discovery.ErrClosed {
				t.Errorf("%v", err)
			}
		})
		settle()
		w.Close()
		waiting.Wait()
	})
}

func TestZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := instances(30, 1) // ten in each zone
		ready := 10
		b := loaded(t, Random(), nil, WithZone("a"))
		own := func() int {
			n := 0
			b.Update(list, func(in *discovery.Instance) bool {
				if in.Zone == "a" {
					n++
					return n <= ready
				}
				return true
			})
			settle()
			got := 0
			for range 1000 {
				in, _, err := b.Pick(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if in.Zone == "a" {
					got++
				}
			}
			return got
		}
		for _, c := range []struct{ ready, least, most int }{
			{10, 1000, 1000}, {8, 1000, 1000}, {4, 500, 650}, {1, 90, 200}, {0, 0, 0},
		} {
			ready = c.ready
			if n := own(); n < c.least || n > c.most {
				t.Errorf("with %d of 10 ready, %d of 1000 calls stay", c.ready, n)
			}
		}
		full := loaded(t, RoundRobin(), list, WithZone("a"), WithSpillOver(2))
		near := 0
		for range 40 { // all under way: 20 fit
			in, _, err := full.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if in.Zone == "a" {
				near++
			}
		}
		if near != 20 {
			t.Errorf("%d of 40 calls stay, 20 fit", near)
		}
	})
}

func TestSubset(t *testing.T) {
	list := instances(100, 1)
	used := make(map[string]int)
	for client := range 100 {
		name := string(rune('A' + client))
		mine := Subset(list, name, 10)
		if len(mine) != 10 || !slices.Equal(mine, Subset(list, name, 10)) {
			t.Fatalf("%v", mine)
		}
		less := Subset(
			slices.DeleteFunc(slices.Clone(list), func(in *discovery.Instance) bool { return in == mine[3] }),
			name,
			10,
		)
		changed := 0
		for _, in := range less {
			if !slices.Contains(mine, in) {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%d have changed, since one went", changed)
		}
		for _, in := range mine {
			used[in.ID]++
		}
	}
	if most := slices.Max(slices.Collect(maps.Values(used))); most > 25 || len(used) < 95 {
		t.Errorf("%d instances are used, one of them by %d of 100 clients", len(used), most)
	}
	if len(Subset(list, "x", 0)) != 100 || len(Subset(list, "x", 1000)) != 100 {
		t.Error("not all")
	}
	b := loaded(t, RoundRobin(), list, WithSubset("x", 7))
	if got := counts(t, b, 70); len(got) != 7 {
		t.Errorf("%v", got)
	}
	z := loaded(t, RoundRobin(), list, WithSubset("x", 7), WithZone("b"))
	for id := range counts(t, z, 70) {
		in := list[slices.IndexFunc(list, func(in *discovery.Instance) bool { return in.ID == id })]
		if in.Zone != "b" {
			t.Errorf("%+v", in)
		}
	}
}

// Picks go on while everything changes.
func TestPicksGoOnWhileEverythingChanges(t *testing.T) {
	for _, p := range policies {
		list := thousand()
		b := loaded(t, p.policy, list, WithZone("a"), WithSpillOver(3), WithWarmUp(50*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					in, done, err := b.Pick(ctx)
					if err != nil || in == nil {
						t.Errorf("%v, %v", in, err)
						return
					}
					done.Report(Outcome((n + i) % 3))
				}
			})
		}
		for n := 1; ctx.Err() == nil; n++ {
			b.Update(list[:1+n*37%len(list)], nil)
			b.Statuses()
		}
		all.Wait()
		clienttest.Await(t, "no call is under way", func() bool { return b.total.Load() == 0 })
	}
}

// What a call without an answer shows of its instance depends on the usual latencies of the
// instance and of the call's kind.
func TestBlameComparesWithUsualLatencies(t *testing.T) {
	const ms = float64(time.Millisecond)
	for _, c := range []struct {
		took           time.Duration
		instance, kind float64
		o              Outcome
		silent         bool
	}{
		// nothing is known of it
		{2 * time.Second, 0, 0, Failure, false}, {2 * time.Second, 0, 10 * ms, Failure, false},
		{2 * time.Second, 10 * ms, 0, Ignored, false},        // no such call was ever answered
		{2 * time.Second, 10 * ms, 10 * ms, Failure, true},   //
		{2 * time.Second, 10 * ms, 700 * ms, Ignored, false}, // such calls take long
		{2 * time.Second, 700 * ms, 10 * ms, Ignored, false}, // this instance does
		{20 * time.Millisecond, 10 * ms, 10 * ms, Ignored, false},
		{40 * time.Millisecond, 10 * ms, 10 * ms, Failure, false},
	} {
		if o, silent := blame(c.took, c.instance, c.kind); o != c.o || silent != c.silent {
			t.Errorf("%v of %v and %v: %v, %v", c.took, c.instance, c.kind, o, silent)
		}
	}
}
