package pick

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// With equal latencies P2C gives what the weights say, also one call at a time. The table in
// bench/picks has more.
func TestP2CWeights(t *testing.T) {
	for _, list := range [][]int{{20, 10}, {10, 10, 1}, {10, 10}} {
		t.Run(fmt.Sprint(list), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 21_000
				b, sum, got := loaded(t, P2C(), weights(list...)), 0, make(map[string]int)
				for range n {
					in, done, err := b.Pick(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Millisecond)
					done.Report(Success)
					got[in.ID]++
				}
				for _, w := range list {
					sum += w
				}
				for i, in := range weights(list...) {
					want := float64(n) * float64(list[i]) / float64(sum)
					if math.Abs(float64(got[in.ID])/want-1) > 0.1 {
						t.Errorf("%s of weight %d got %d calls, not %.0f", in.ID, list[i], got[in.ID], want)
					}
				}
			})
		})
	}
}
