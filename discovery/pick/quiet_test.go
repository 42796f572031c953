package pick_test

import (
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery/pick"
)

// quiet has instances a to d that answer calls of kind k after 10 ms.
func quiet(t *testing.T, f func(t *testing.T, b *pick.Balancer)) {
	silent(t, 4, func(t *testing.T, b *pick.Balancer) {
		for _, id := range []string{"a", "b", "c", "d"} {
			done := picked(t, b, id).Kind("k")
			time.Sleep(10 * time.Millisecond)
			done.Report(pick.Success)
		}
		f(t, b)
	})
}

// others makes n calls that are answered, and returns how many of them instance a got.
func others(t *testing.T, b *pick.Balancer, n int) (a int) {
	t.Helper()
	for range n {
		in, done, err := b.Pick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if done = done.Kind("k"); in.ID == "a" {
			a++
		}
		time.Sleep(10 * time.Millisecond)
		done.Report(pick.Success)
	}
	return a
}

// A kind of call is usually answered soon. When one has waited for a second on an instance that
// answers no other call, the instance gets no new calls until it answers.
func TestQuietInstanceGetsNoNewCalls(t *testing.T) {
	quiet(t, func(t *testing.T, b *pick.Balancer) {
		one, two := picked(t, b, "a").Kind("k"), picked(t, b, "a").Kind("k")
		time.Sleep(900 * time.Millisecond)
		want(t, b, "good", "good", "good", "good")
		picked(t, b, "a").Report(pick.Ignored)
		time.Sleep(100 * time.Millisecond)
		if n := others(t, b, 100); n != 0 {
			t.Errorf("%d calls", n)
		}
		want(t, b, "doubt", "good", "good", "good")
		one.Report(pick.Success)
		want(t, b, "good", "good", "good", "good")
		if n := others(t, b, 40); n != 10 {
			t.Errorf("%d calls", n)
		}
		two.Report(pick.Success)
	})
}

// When those calls end without an answer the instance is ejected, and their end does not bring it
// back.
func TestQuietUntilTheEnd(t *testing.T) {
	quiet(t, func(t *testing.T, b *pick.Balancer) {
		one, two := picked(t, b, "a").Kind("k"), picked(t, b, "a").Kind("k")
		time.Sleep(time.Second)
		others(t, b, 10)
		one.Report(pick.TimedOut)
		two.Report(pick.TimedOut)
		want(t, b, "out", "good", "good", "good")
		if n := others(t, b, 100); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// When the callers have given up those calls, no answer can come, so one new call tries the
// instance.
func TestQuietInstanceIsTriedWhenItsCallsAreGivenUp(t *testing.T) {
	quiet(t, func(t *testing.T, b *pick.Balancer) {
		one := picked(t, b, "a").Kind("k")
		time.Sleep(time.Second)
		others(t, b, 10)
		one.Report(pick.Ignored)
		trial := picked(t, b, "a").Kind("k")
		if n := others(t, b, 50); n != 0 {
			t.Errorf("%d calls", n)
		}
		trial.Report(pick.Success)
		want(t, b, "good", "good", "good", "good")
	})
}

// A call that has only begun shows nothing, however long the instance was not called before.
func TestQuietAfterIdlingIsNoDoubt(t *testing.T) {
	quiet(t, func(t *testing.T, b *pick.Balancer) {
		time.Sleep(time.Minute)
		one := picked(t, b, "a").Kind("k")
		if n := others(t, b, 8); n != 2 {
			t.Errorf("%d calls", n)
		}
		one.Report(pick.Success)
	})
}

// An instance that answers other calls while one waits is not in doubt. If there are no other
// calls, a trial shows that it answers, and for a while it is not doubted then.
func TestQuietCallBesideAnsweredOnesIsNoDoubt(t *testing.T) {
	quiet(t, func(t *testing.T, b *pick.Balancer) {
		one := picked(t, b, "a").Kind("k")
		for range 10 {
			time.Sleep(500 * time.Millisecond)
			if n := others(t, b, 4); n != 1 {
				t.Fatalf("%d calls", n)
			}
		}
		time.Sleep(time.Second)
		if n := others(t, b, 8); n != 0 {
			t.Fatalf("%d calls", n)
		}
		time.Sleep(pick.DefaultBase)
		picked(t, b, "a").Kind("k").Report(pick.Success) // the trial
		for range 10 {
			time.Sleep(3 * time.Second)
			if n := others(t, b, 4); n != 1 {
				t.Fatalf("%d calls of an instance that has answered its trial", n)
			}
		}
		one.Report(pick.Success)
	})
}

// Calls that may take their time, or are not known to be answered soon, say nothing while they
// wait.
func TestQuietCallsOfSlowKindsAreNoDoubt(t *testing.T) {
	quiet(t, func(t *testing.T, b *pick.Balancer) {
		done := picked(t, b, "b").Kind("slow")
		time.Sleep(400 * time.Millisecond)
		done.Report(pick.Success)
		for _, kind := range []string{"slow", "unknown", ""} {
			done := picked(t, b, "a")
			if kind != "" {
				done = done.Kind(kind)
			}
			time.Sleep(3 * time.Second)
			if n := others(t, b, 4); n != 1 {
				t.Errorf("%q: %d calls", kind, n)
			}
			done.Report(pick.Ignored)
		}
		answer := picked(t, b, "a").Kind("k") // its body is read for long
		answer.Answered(pick.Success)
		time.Sleep(3 * time.Second)
		if n := others(t, b, 4); n != 1 {
			t.Errorf("%d calls while an answer is read", n)
		}
		answer.Release()
	})
}

// When no instance answers, all of them are called.
func TestQuietEverywhereAllAreCalled(t *testing.T) {
	quiet(t, func(t *testing.T, b *pick.Balancer) {
		for _, id := range []string{"a", "b", "c", "d"} {
			picked(t, b, id).Kind("k")
		}
		time.Sleep(time.Second)
		got := make(map[string]bool)
		for range 100 {
			in, done, err := b.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			done.Report(pick.Ignored)
			got[in.ID] = true
		}
		if len(got) < 4 {
			t.Errorf("only %v are called", got)
		}
	})
}
