package lease

import (
	"testing"
	"time"
)

// TestCorePatienceGrows: eight tries follow each other soon; from the ninth on each waits twice as
// long as the one before, up to a third of the TTL.
func TestCorePatienceGrows(t *testing.T) {
	l := &lease{ttl: 60 * time.Second}
	for tries, want := range map[uint8]time.Duration{
		0: time.Second, 1: time.Second, 8: time.Second, 9: 2 * time.Second, 10: 4 * time.Second, 12: 16 * time.Second,
		13: 20 * time.Second, 200: 20 * time.Second,
	} {
		l.tries = tries
		if got := new(core).patience(l); got != want {
			t.Errorf("after %d tries it is %v, not %v", tries, got, want)
		}
	}
}
