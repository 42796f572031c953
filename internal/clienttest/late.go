package clienttest

import (
	"sync"
	"testing"
	"time"
)

// Late measures how late timers of this process fire, from Lateness on until the end of the test.
// The machine adds as much to all else that the test waits for. What every machine adds does not
// count.
type Late struct {
	mu  sync.Mutex
	due time.Time
	sum time.Duration
}

// lateEvery is the time between two timers, and how late one has to be.
const lateEvery = 5 * time.Millisecond

// Lateness begins to measure.
func Lateness(t testing.TB) *Late {
	l := &Late{due: time.Now().Add(lateEvery)}
	tick := time.NewTimer(lateEvery)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-tick.C:
				l.mu.Lock()
				l.count()
				l.due = time.Now().Add(lateEvery)
				l.mu.Unlock()
				tick.Reset(lateEvery)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		tick.Stop()
	})
	return l
}

// count adds how late the timer is. The caller holds l.mu.
func (l *Late) count() {
	if by := time.Since(l.due); by > lateEvery {
		l.sum += by
		l.due = l.due.Add(by)
	}
}

// Sum returns by how much all timers together were late so far, the present one included.
func (l *Late) Sum() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count()
	return l.sum
}
