package discovery

import (
	"testing"
	"time"
)

// Whoever is alone registers again at once; of ten thousand, each draws a turn within ten
// seconds.
func TestTurn(t *testing.T) {
	r := &Registrar{regs: map[string]*Registration{"own": nil}}
	for r.others = range int64(2) {
		if d := r.turn(); d != 0 {
			t.Errorf("%d records: %v", r.others, d)
		}
	}
	r.others = 10_000
	var sum time.Duration
	const draws = 1000
	for range draws {
		d := r.turn()
		if d < 0 || d > 10*time.Second {
			t.Fatalf("%v", d)
		}
		sum += d
	}
	if mean := sum / draws; mean < 3*time.Second || mean > 7*time.Second {
		t.Errorf("the mean is %v", mean)
	}
}
