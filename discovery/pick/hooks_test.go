package pick_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Ejections and returns are reported, once each, to all hooks; a hook may ask for statuses.
func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *pick.Balancer
		var reported []string
		hooks := pick.Hooks{
			Ejected: func(i pick.EjectedInfo) {
				b.Statuses()
				reported = append(reported, fmt.Sprint(i.Instance.ID, " out for ", i.For, " ", i.Silent))
			},
			Returned: func(in *discovery.Instance) {
				b.Statuses()
				reported = append(reported, in.ID+" back")
			},
		}
		b = pick.New(pick.RoundRobin(), pick.WithLatency(), pick.WithHooks(pick.Hooks{}), pick.WithHooks(hooks))
		defer b.Close()
		b.Update([]*discovery.Instance{
			{Service: "x", ID: "a", Addresses: []string{"a:1"}}, {Service: "x", ID: "b", Addresses: []string{"b:1"}},
		}, nil)
		if err := b.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		var calls []pick.Done
		for range pick.DefaultFailures + 2 {
			calls = append(calls, picked(t, b, "a"))
		}
		for _, d := range calls {
			d.Report(pick.Failure)
		}
		time.Sleep(pick.DefaultBase + time.Second)
		synctest.Wait()
		one := picked(t, b, "a")
		time.Sleep(time.Second)
		one.Report(pick.Unanswered)
		synctest.Wait()
		want := []string{"a out for 10s false", "a back", "a out for 20s true"}
		if !slices.Equal(reported, want) {
			t.Errorf("%q, not %q", reported, want)
		}
	})
}
