package pick

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// versions makes instances with versions: "v1 v1 v2" are i-0000 to i-0002.
func versions(text string) (list []*discovery.Instance) {
	for i, v := range strings.Fields(text) {
		list = append(
			list,
			&discovery.Instance{
				ID:        fmt.Sprintf("i-%04d", i),
				Addresses: []string{fmt.Sprintf("10.0.0.%d:80", i)},
				Version:   v,
				Zone:      "a",
			},
		)
	}
	return list
}

func split(t testing.TB, b *Balancer, words string) {
	t.Helper()
	s, err := discovery.ParseSplit(strings.Fields(words)...)
	if err == nil {
		err = b.SetSplit(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	settle()
}

// picked counts picks by version and by id; each call ends at once, and well.
func picked(t testing.TB, b *Balancer, n int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range n {
		in, done, err := b.Pick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done.Report(Success)
		got[in.Version]++
		got[in.ID]++
	}
	return got
}

func TestSplitShares(t *testing.T) {
	for _, p := range policies {
		for _, c := range []struct {
			instances, split string
			want             map[string]float64 // percent
			opts             []Option
		}{
			{"v1 v1 v1 v2", "v1=95 v2=5", map[string]float64{"v1": 95, "v2": 5, "i-0000": 95.0 / 3}, nil},
			{"v1 v2 v2 v2 v3", "v1=20 v2=80", map[string]float64{"v1": 20, "v2": 80, "v3": 0}, nil},
			{"v1 v2", "v1=100 v2=0", map[string]float64{"v1": 100, "v2": 0}, nil},
			{"v1 v2", "v1=50 v2=30 v3=20", map[string]float64{"v1": 62.5, "v2": 37.5}, nil},
			{"v1 v2 v2 v2", "v8=50 v9=50", map[string]float64{"v1": 25, "v2": 75}, nil}, // nobody has them
			{"v1 v2 v2 v2", "", map[string]float64{"v1": 25, "v2": 75}, nil},
			{strings.Repeat("v1 ", 50) + "v2", "v1=90 v2=10", map[string]float64{"v1": 90, "v2": 10}, []Option{
				WithSubset("me", 5),
			}},
			{"v1 v1 v2", "v1=75 v2=25", map[string]float64{"v1": 75, "v2": 25}, []Option{
				WithZone("b"), WithSpillOver(3),
			}},
			{"v1 v1 v2", "v1=75 v2=25", map[string]float64{"v1": 0, "v2": 100}, []Option{WithFilter("v2")}},
		} {
			t.Run(p.name+"/"+c.split, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := loaded(t, p.policy, versions(c.instances), c.opts...)
					split(t, b, c.split)
					const n = 20_000
					margin := 1.5
					if p.name == "Hash" && (c.want["i-0000"] > 0 || c.want["v1"] == 25) {
						margin = 5 // an instance's part of the ring is right to an eighth
					}
					got := picked(t, b, n)
					for what, percent := range c.want {
						if share := 100 * float64(got[what]) / n; math.Abs(share-percent) > margin ||
							percent == 0 && share > 0 {
							t.Errorf("%s has %.1f %%, not %.1f: %v", what, share, percent, b.Split())
						}
					}
				})
			})
		}
	}
}

// A key stays with its subset, while others lose their instances and while the percentages move,
// except for those that have to go.
func TestSplitKeepsKeysInTheirSubsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loaded(t, P2C(), versions("v1 v1 v2 v2 v3"))
		where := func() map[int]string {
			at := make(map[int]string)
			for i := range 5000 {
				for range 2 {
					in, done, err := b.Pick(WithKey(t.Context(), fmt.Sprint("user-", i)))
					if err != nil {
						t.Fatal(err)
					}
					done.Report(Success)
					if at[i] != "" && at[i] != in.Version {
						t.Fatalf("key %d is in two subsets", i)
					}
					at[i] = in.Version
				}
			}
			return at
		}
		// moved returns the percentages of the keys that moved, by where they went.
		moved := func(from, to map[int]string) map[string]float64 {
			m := make(map[string]float64)
			for i := range from {
				if from[i] != to[i] {
					m[from[i]+">"+to[i]] += 100.0 / float64(len(from))
				}
			}
			return m
		}
		split(t, b, "v1=95 v2=5")
		first := where()
		split(t, b, "v1=90 v2=10")
		second := where()
		if m := moved(first, second); len(m) != 1 || math.Abs(m["v1>v2"]-5) > 1.5 {
			t.Errorf("from 5 to 10 percent these moved: %v", m)
		}
		split(t, b, "v1=50 v2=30 v3=20")
		third := where()
		change(b, versions("v1 v1 v2 v2"))
		if m := moved(third, where()); len(m) != 2 || math.Abs(m["v3>v1"]-12.5) > 2 || math.Abs(m["v3>v2"]-7.5) > 2 {
			t.Errorf("without v3 these moved: %v", m)
		}
		change(b, versions("v1 v1 v2 v2 v3"))
		if m := moved(third, where()); len(m) != 0 {
			t.Errorf("with v3 again, these are elsewhere: %v", m)
		}
	})
}

// A version that disappears, or fails, gives its part to the others, and hooks are called; a split
// that does not add up changes nothing.
func TestSplitPassesPartsOnAndReportsThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reported := make(chan string, 100)
		hook := func(list []SubsetStatus) {
			text := ""
			for _, s := range list {
				text += fmt.Sprintf("%s %v/%v ", s.Filter, s.Share, s.Percent)
			}
			reported <- text
		}
		b := loaded(t, RoundRobin(), versions("v1 v1 v1 v2"), WithHooks(Hooks{Split: hook}))
		want := func(what, shares string) {
			t.Helper()
			settle()
			if n := len(reported); n != 1 {
				t.Fatalf("%s: reported %d times", what, n)
			}
			if got := <-reported; got != shares {
				t.Errorf("%s: reported %q", what, got)
			}
		}
		split(t, b, "v1=75 v2=25")
		want("a split", "v1 75/75 v2 25/25 ")
		if err := b.SetSplit(discovery.Split{"v1": 75, "v2": 24}); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%v", err)
		}
		split(t, b, "v1=75 v2=25")
		if len(reported) > 0 {
			t.Errorf("reported without a reason: %q", <-reported)
		}
		for range 40 { // the canary fails
			failing(t, b, "i-0003")
			if b.Split()[1].Share == 0 {
				break
			}
		}
		want("v2 is ejected", "v1 100/75 v2 0/25 ")
		if got := picked(t, b, 100); got["v2"] > 0 {
			t.Errorf("%v", got)
		}
		time.Sleep(DefaultBase)
		want("v2 is back", "v1 75/75 v2 25/25 ")
		if got := picked(t, b, 1000); got["v2"] < 150 || got["v2"] > 350 {
			t.Errorf("%v", got)
		}
		change(b, versions("v1 v1 v1"))
		want("v2 disappears", "v1 100/75 v2 0/25 ")
		change(b, versions("v3 v3"))
		want("all disappear", "v1 0/75 v2 0/25 ")
		if got := picked(t, b, 100); got["v3"] != 100 {
			t.Errorf("%v", got)
		}
		split(t, b, "")
		want("no split", "")
		if b.Split() != nil {
			t.Error("there is one")
		}
	})
}

func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range policies {
			b := loaded(t, p.policy, versions("v1 v1 v2 v2 v2"))
			split(t, b, "v1=100")
			got := make(map[string]int)
			for i := range 3000 { // the split does not count
				in, done, err := b.PickMatching(WithKey(t.Context(), fmt.Sprint(i)), "v2")
				if err != nil {
					t.Fatal(err)
				}
				done.Report(Success)
				got[in.Version]++
				got[in.ID]++
			}
			if got["v2"] != 3000 || got["i-0002"] < 800 || got["i-0003"] < 800 || got["i-0004"] < 800 {
				t.Errorf("%s: %v", p.name, got)
			}
			tried := []*discovery.Instance{b.Statuses()[2].Instance, b.Statuses()[3].Instance}
			in, done, err := b.PickMatching(t.Context(), "v2", tried...)
			if err != nil || in.ID != "i-0004" {
				t.Fatalf("%v, %v", in, err)
			}
			done.Report(Success)
			var none *NoInstancesError
			if _, _, err := b.PickMatching(t.Context(), "v2", append(tried, in)...); !errors.As(err, &none) ||
				none.Registered != 5 {
				t.Errorf("%v", err)
			}
			if _, _, err := b.PickMatching(t.Context(), "v9"); !errors.Is(err, ErrNoInstances) ||
				!strings.Contains(err.Error(), "v9") {
				t.Errorf("%v", err)
			}
			if _, _, err := b.PickMatching(t.Context(), "color=red"); !errors.Is(err, discovery.ErrInvalid) {
				t.Errorf("%v", err)
			}
			if _, done, err := b.PickMatching(t.Context(), ""); err != nil {
				t.Error(err)
			} else {
				done.Report(Success)
			}
		}
		key := WithKey(t.Context(), "k")
		b := loaded(t, Hash(), versions("v1 v1 v2 v2 v2"))
		first, _, _ := b.PickMatching(key, "v2")
		for range 50 {
			if in, done, err := b.PickMatching(key, "v2"); err != nil || in != first {
				t.Errorf("a key is at %v and %v", first, in)
			} else {
				done.Report(Success)
			}
		}
		for _, f := range []discovery.Filter{"v9", "color=red"} {
			b := loaded(t, P2C(), versions("v1"), WithFilter(f))
			_, _, err := b.Pick(context.Background())
			if !errors.Is(err, ErrNoInstances) || !strings.Contains(err.Error(), string(f)) {
				t.Errorf("%v", err)
			}
			t.Log(err)
		}
	})
}
