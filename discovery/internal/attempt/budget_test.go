package attempt

import "testing"

func TestBudget(t *testing.T) {
	for name, c := range map[string]struct {
		b           *Budget
		cost, burst int
	}{"retries": {Retries(), 5, 1000}, "hedges": {Hedges(), 20, 100}} {
		spent := func() (n int) {
			for c.b.spend() {
				n++
			}
			return n
		}
		c.b.Earn() // no more than the burst
		if n := spent(); n != c.burst {
			t.Errorf("%s: a burst of %d, not %d", name, n, c.burst)
		}
		for range 2*c.cost + 1 {
			c.b.Earn()
		}
		if n := spent(); n != 2 {
			t.Errorf("%s: %d for twice what it costs", name, n)
		}
	}
}
