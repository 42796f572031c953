package pick

import (
	"math"
	"testing"
	"testing/synctest"

	"github.com/fairlead-go/fairlead/discovery"
)

// Calls go from zone to zone in the order given, as far as each one's instances can take them.
func TestZonesInOrder(t *testing.T) {
	for _, p := range policies {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list := instances(30, 1) // ten in each zone
				b := loaded(t, p.policy, nil, WithZone("b", "c"))
				for _, c := range []struct {
					ready map[string]int // the others' are all ready
					want  map[string]float64
				}{
					{nil, map[string]float64{"b": 1}},
					{map[string]int{"b": 7}, map[string]float64{"b": 1}},
					{map[string]int{"b": 4}, map[string]float64{"b": 4.0 / 7, "c": 3.0 / 7}},
					{map[string]int{"b": 4, "c": 1}, map[string]float64{"b": 4.0 / 7, "c": 1.0 / 7, "a": 2.0 / 7}},
					{map[string]int{"b": 0}, map[string]float64{"c": 1}},
					{map[string]int{"b": 0, "c": 0}, map[string]float64{"a": 1}},
					{map[string]int{"b": 1, "c": 0, "a": 0}, map[string]float64{"b": 1}},
				} {
					n := make(map[string]int)
					b.Update(list, func(in *discovery.Instance) bool {
						n[in.Zone]++
						limit, ok := c.ready[in.Zone]
						return !ok || n[in.Zone] <= limit
					})
					settle()
					const calls = 4000
					got := make(map[string]int)
					for range calls {
						in, done, err := b.Pick(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						done.Report(Success)
						got[in.Zone]++
					}
					for _, z := range []string{"a", "b", "c"} {
						share := float64(got[z]) / calls
						if math.Abs(share-c.want[z]) > 0.04 || c.want[z] == 0 && share > 0 {
							t.Errorf("with %v ready zone %s has %.2f, not %.2f", c.ready, z, share, c.want[z])
						}
					}
				}
			})
		})
	}
}

// Calls that a zone's instances have no room for spill into the next, and from there further.
func TestZonesSpillOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loaded(t, RoundRobin(), instances(30, 1), WithZone("c", "a"), WithSpillOver(1))
		got := make(map[string]int)
		for range 25 { // all under way
			in, _, err := b.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[in.Zone]++
		}
		if got["c"] != 10 || got["a"] != 10 || got["b"] != 5 {
			t.Errorf("%v", got)
		}
	})
}
