package pick_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// states returns the instances' states as text.
func states(b *pick.Balancer) (list []string) {
	for _, s := range b.Statuses() {
		switch {
		case s.Ejected:
			list = append(list, "out")
		case s.Trial:
			list = append(list, "doubt")
		default:
			list = append(list, "good")
		}
	}
	return list
}

// picked takes an instance by its id.
func picked(t *testing.T, b *pick.Balancer, id string) pick.Done {
	t.Helper()
	for range 100 {
		in, done, err := b.Pick(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if in.ID == id {
			return done
		}
		done.Report(pick.Ignored)
	}
	t.Fatalf("%s is not picked", id)
	return pick.Done{}
}

func silent(t *testing.T, n int, f func(t *testing.T, b *pick.Balancer)) {
	synctest.Test(t, func(t *testing.T) {
		b := pick.New(pick.RoundRobin(), pick.WithLatency())
		defer b.Close()
		var list []*discovery.Instance
		for _, id := range []string{"a", "b", "c", "d"}[:n] {
			list = append(list, &discovery.Instance{Service: "x", ID: id, Addresses: []string{id + ":1"}})
		}
		b.Update(list, nil)
		if err := b.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, in := range list { // each call takes 10 ms
			done := picked(t, b, in.ID)
			time.Sleep(10 * time.Millisecond)
			done.Report(pick.Success)
		}
		f(t, b)
	})
}

func want(t *testing.T, b *pick.Balancer, list ...string) {
	t.Helper()
	got := states(b)
	for i, w := range list {
		if got[i] != w {
			t.Fatalf("%v, not %v", got, list)
		}
	}
}

// One call that waited in vain ejects an instance that answered no other call, at once and not only
// when the next set is made.
func TestSilenceEjectsAtOnce(t *testing.T) {
	silent(t, 4, func(t *testing.T, b *pick.Balancer) {
		one := picked(t, b, "a")
		time.Sleep(300 * time.Millisecond)
		one.Report(pick.Unanswered)
		for range 20 {
			in, done, _ := b.Pick(t.Context())
			if done.Report(pick.Ignored); in.ID == "a" {
				t.Fatal("it is picked")
			}
		}
		want(t, b, "out", "good", "good", "good")
	})
}

// A call that ends at its caller's deadline counts as silence if it waited for long, and not if it
// was in a hurry.
func TestSilenceInAHurryDoesNotCount(t *testing.T) {
	silent(t, 4, func(t *testing.T, b *pick.Balancer) {
		for range 50 {
			one := picked(t, b, "b")
			time.Sleep(20 * time.Millisecond)
			one.Report(pick.TimedOut)
		}
		want(t, b, "good", "good", "good", "good")
		one := picked(t, b, "b")
		time.Sleep(1500 * time.Millisecond)
		one.Report(pick.TimedOut)
		want(t, b, "good", "out", "good", "good")
	})
}

// An instance that answered others lately gets no new calls until it answers one, or for 10 s.
func TestDoubtKeepsNewCallsAwayUntilAnAnswer(t *testing.T) {
	silent(t, 4, func(t *testing.T, b *pick.Balancer) {
		slow, other, third := picked(t, b, "a"), picked(t, b, "a"), picked(t, b, "a")
		time.Sleep(250 * time.Millisecond)
		other.Report(pick.Success)
		time.Sleep(50 * time.Millisecond)
		slow.Report(pick.Unanswered)
		want(t, b, "doubt", "good", "good", "good")
		third.Report(pick.Success)
		want(t, b, "good", "good", "good", "good")
		picked(t, b, "a").Report(pick.Success)

		slow, other = picked(t, b, "a"), picked(t, b, "a")
		time.Sleep(250 * time.Millisecond)
		other.Report(pick.Success)
		time.Sleep(50 * time.Millisecond)
		slow.Report(pick.Unanswered)
		time.Sleep(pick.DefaultBase + time.Second)
		picked(t, b, "a").Report(pick.Success)
		want(t, b, "good", "good", "good", "good")
	})
}

// No more instances are ejected than the limit allows. Other silent ones are passed over while any
// instance answers. When none does, all are called.
func TestSilenceOfManyEjectsNoMoreThanTheLimit(t *testing.T) {
	silent(t, 4, func(t *testing.T, b *pick.Balancer) {
		var all []pick.Done
		for _, id := range []string{"a", "b", "c", "d"} {
			all = append(all, picked(t, b, id))
		}
		time.Sleep(time.Second)
		for _, d := range all[:3] {
			d.Report(pick.Unanswered)
		}
		want(t, b, "out", "out", "doubt", "good")
		for range 20 {
			picked(t, b, "d").Report(pick.Success)
		}
		all[3].Report(pick.Unanswered)
		got := make(map[string]bool)
		for range 100 {
			in, done, err := b.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[in.ID] = true
			done.Report(pick.Ignored)
		}
		if len(got) < 2 {
			t.Errorf("only %v are called", got)
		}
	})
}

// A slow method that ends at its callers' deadlines discredits no instance, whatever else is
// called; one that is answered soon elsewhere does, with the first call.
func TestSlowMethodBlamesNobody(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		took map[string]time.Duration // what calls of each kind took, on all instances
		kind string                   // of the calls that wait in vain
		wait time.Duration
		want string
	}{
		"nobody was answered": {map[string]time.Duration{"fast": s / 100}, "slow", 3 * s / 2, "good"},
		"answered nearly as late": {
			map[string]time.Duration{"fast": s / 100, "slow": 6 * s / 5}, "slow", 3 * s / 2, "good",
		},
		"answered far sooner": {
			map[string]time.Duration{"fast": s / 100, "slow": 6 * s / 5}, "slow", 5 * s, "out",
		},
		"a fast one among the same": {map[string]time.Duration{"fast": s / 100}, "fast", 3 * s / 2, "out"},
		"of no kind":                {map[string]time.Duration{"fast": s / 100}, "", 3 * s / 2, "out"},
	} {
		t.Run(name, func(t *testing.T) {
			silent(t, 4, func(t *testing.T, b *pick.Balancer) {
				for kind, took := range c.took {
					for _, id := range []string{"a", "b", "c", "d"} {
						done := picked(t, b, id).Kind(kind)
						time.Sleep(took)
						done.Report(pick.Success)
					}
				}
				one := picked(t, b, "a")
				if c.kind != "" {
					one = one.Kind(c.kind)
				}
				time.Sleep(c.wait)
				one.Report(pick.TimedOut)
				want(t, b, c.want, "good", "good", "good")
			})
		})
	}
}
