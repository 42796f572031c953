package keep

import (
	"testing"
	"time"
)

// A single process writes again at once. Of ten thousand, each waits for a random time of up to ten
// seconds.
func TestTurnsAreDrawnByTheSizeOfTheCrowd(t *testing.T) {
	k := &Keeper{entries: map[string]*entry{"own": nil}}
	for k.others = range int64(2) {
		if d := k.turn(); d != 0 {
			t.Errorf("%d records: %v", k.others, d)
		}
	}
	k.others = 10_000
	var sum time.Duration
	const draws = 1000
	for range draws {
		d := k.turn()
		if d < 0 || d > 10*time.Second {
			t.Fatalf("%v", d)
		}
		sum += d
	}
	if mean := sum / draws; mean < 3*time.Second || mean > 7*time.Second {
		t.Errorf("the mean is %v", mean)
	}
}
