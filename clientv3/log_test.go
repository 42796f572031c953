package clientv3

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestLogIsLimited: a burst, then a line per second, and a count of what was left out.
func TestLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, seen := observer.New(zap.InfoLevel)
		var to atomic.Pointer[zap.Logger]
		to.Store(zap.New(core))
		log := limited(&to)
		for range logBurst + 30 {
			log.Warn("trouble", zap.String("member", "a"))
		}
		log.Debug("below the level")
		if n := seen.Len(); n != logBurst {
			t.Fatalf("%d lines at once, want %d", n, logBurst)
		}
		time.Sleep(logEvery) // by the bubble's clock
		log.With(zap.Int("n", 1)).Warn("again")
		got := seen.All()[logBurst].ContextMap()
		if got["lines-left-out"] != int64(30) || got["n"] != int64(1) {
			t.Errorf("the next line has %v", got)
		}
		// Whoever sets another logger gets the lines from then on.
		core, seen = observer.New(zap.InfoLevel)
		to.Store(zap.New(core))
		time.Sleep(logEvery) // by the bubble's clock
		log.Info("elsewhere")
		if seen.FilterMessage("elsewhere").Len() != 1 {
			t.Error("the line did not go to the logger that was set")
		}
	})
}
