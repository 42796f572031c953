package watch

import (
	"math/rand/v2"
	"time"
)

// clock is the engine's only source of time.
type clock interface {
	Now() time.Time
	// AfterFunc calls f in its own goroutine after d; stop as in time.Timer.Stop.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }
func (realClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

func randomJitter() float64 { return rand.Float64() }
