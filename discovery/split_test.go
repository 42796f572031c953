package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func TestFilter(t *testing.T) {
	in := &discovery.Instance{
		Version:  "v2",
		Tags:     []string{"canary", "blue"},
		Metadata: map[string]string{"team": "x", "empty": "", "a.b": "c=d"},
	}
	for f, want := range map[discovery.Filter]bool{
		"": true, "v2": true, "version=v2": true, "v1": false, "version=v1": false, "tag=canary": true,
		"tag=red":     false,
		"meta.team=x": true, "meta.team=y": false, "meta.none=x": false, "meta.a.b=c=d": true,
		"v2,tag=canary,tag=blue,meta.team=x": true, "v2,tag=red": false, "v1,v2": false,
	} {
		if err := f.Validate(); err != nil || f.Matches(in) != want {
			t.Errorf("%q: %v, %v", f, f.Matches(in), err)
		}
	}
	for _, f := range []discovery.Filter{
		",", "v2,", ",v2", "version=", "tag=", "meta.=x", "meta.team=", "zone=east", "Version=v2",
		discovery.Filter(strings.Repeat("v", 2000)),
	} {
		if err := f.Validate(); !errors.Is(err, discovery.ErrInvalid) || f.Matches(in) {
			t.Errorf("%q: %v, %v", f, f.Matches(in), err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { discovery.Filter("v2,tag=blue,meta.team=x").Matches(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseSplit(t *testing.T) {
	for words, want := range map[string]string{
		"v2=5 v1=95": "v1=95 v2=5", "v1=100 v2=0": "v1=100 v2=0", "v1=99.5 tag=canary=0.5": "tag=canary=0.5 v1=99.5",
		"a=33.333 b=33.333 c=33.334": "a=33.333 b=33.333 c=33.334", "": "",
	} {
		s, err := discovery.ParseSplit(strings.Fields(words)...)
		if err != nil || s.String() != want {
			t.Errorf("%q: %v, %v", words, s, err)
		}
	}
	for _, words := range []string{"v1=95", "v1=95 v2=6", "v1", "v1=95 v2", "v1=x v2=5", "v1=95 v1=5", "v1=105 v2=-5",
		"v1=NaN", "v1=Inf", "=100", "color=red=100", "v1=0",
		"v1=50 version=v1=50", "v1,tag=a=50 tag=a,version=v1=50", "v1=50 v1,v1=50"} {
		if s, err := discovery.ParseSplit(strings.Fields(words)...); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%q: %v, %v", words, s, err)
		}
	}
	many := make(discovery.Split)
	for i := range 64 {
		many[discovery.Filter(fmt.Sprint(i))] = 100.0 / 64
	}
	for _, s := range []discovery.Split{many, {"a": math.NaN(), "b": 100}} {
		if err := s.Validate(); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%v: %v", s, err)
		}
	}
}

// A split reaches the followers, by itself and together with the instances, and stays until it is
// removed. A refused split changes nothing.
func TestSplitFollowed(t *testing.T) {
	c := clienttest.Shared(t)
	put := func(s discovery.Split) error {
		return discovery.ChangeControl(within(t), c, t.Name(), func(ctl *discovery.Control) error {
			ctl.Split = s
			return nil
		})
	}
	t.Cleanup(func() { _, _ = c.Delete(context.Background(), "/fairlead/control/"+t.Name()) })
	register(t, registrar(t, c), orders(t, "a"))
	sub := follow(t, c, base(t))
	first, err := sub.Next(within(t))
	if err != nil || first.Resplit || len(first.View.Split()) != 0 || first.View.Len() != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	next := func(want string) {
		t.Helper()
		ch, err := sub.Next(within(t))
		if err != nil || !ch.Resplit || ch.View.Split().String() != want || ch.View.Len() != 1 ||
			len(ch.Added)+len(ch.Updated)+len(ch.Removed) > 0 {
			t.Fatalf("%+v, %v, want %q", ch, err, want)
		}
	}
	if err := put(discovery.Split{"v1": 95, "v2": 5}); err != nil {
		t.Fatal(err)
	}
	next("v1=95 v2=5")
	if err := put(discovery.Split{"v1": 95, "v2": 6}); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("%v", err)
	}
	override(t, c, "b", func(o *discovery.Override) { o.Weight = 7 }) // keeps the split, changes no shown instance
	if err := put(discovery.Split{"v1": 90, "v2": 10}); err != nil {
		t.Fatal(err)
	}
	next("v1=90 v2=10")
	if late, err := follow(t, c, base(t)).Next(within(t)); err != nil || late.View.Split().String() != "v1=90 v2=10" {
		t.Errorf("%+v, %v", late, err)
	}
	if err := put(nil); err != nil {
		t.Fatal(err)
	}
	next("")
	if ctl, err := discovery.ReadControl(within(t), c, t.Name()); err != nil || len(ctl.Split) > 0 ||
		ctl.Instances["b"].Weight != 7 {
		t.Errorf("%+v, %v", ctl, err)
	}
}

// Weights change a thousand times. In the end followers have the last ones, and they never see an
// empty view.
func TestWeightsChangeAllTheTime(t *testing.T) {
	c := clienttest.Shared(t)
	key := "/fairlead/control/" + t.Name()
	t.Cleanup(func() { _, _ = c.Delete(context.Background(), key) })
	r := registrar(t, c)
	for i := range 20 {
		register(t, r, orders(t, fmt.Sprint("i", i)))
	}
	sub := follow(t, c, base(t))
	clienttest.Await(t, "all", func() bool { v := sub.View(); return v != nil && v.Len() == 20 })
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 125 {
				_, err := c.Put(within(t), key, fmt.Sprintf(`{"instances":{"i%d":{"weight":%d}}}`, w, i+10))
				if err != nil {
					t.Error(err)
				}
				if n := sub.View().Len(); n != 20 {
					t.Errorf("%d instances", n)
				}
			}
		})
	}
	writers.Wait()
	override(t, c, "i9", func(o *discovery.Override) { o.Weight = 999 })
	shows(t, sub, "i9", 999, false)
}
