package console

import (
	"net"
	"sync"
	"time"
)

const (
	// attemptBurst is how many failures have no effect, so that a typing error does no harm.
	attemptBurst = 10
	// attemptEvery is the time after which one more failure is forgiven: guessing takes for ever.
	attemptEvery = 2 * time.Second
	// attemptMost is how many addresses are remembered. All further ones share a limit.
	attemptMost = 1000
)

// limiter slows down failing attempts to sign in, for each address by itself, so that nobody can
// lock out others.
type limiter struct {
	mu sync.Mutex // guards what follows
	// until is when all failures of an address are forgiven.
	until map[string]time.Time
}

// take permits an attempt from an address, unless too many of its attempts have failed or are under
// way. An attempt counts as failed until forgive.
func (l *limiter) take(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = make(map[string]time.Time)
	}
	now := time.Now()
	if len(l.until) >= attemptMost {
		for name, at := range l.until {
			if at.Before(now) {
				delete(l.until, name)
			}
		}
	}
	name := l.name(remote)
	at := l.until[name]
	if at.Before(now) {
		at = now
	}
	if at.Sub(now) >= attemptBurst*attemptEvery {
		return false
	}
	l.until[name] = at.Add(attemptEvery)
	return true
}

// forgive takes back an attempt.
func (l *limiter) forgive(remote string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := l.name(remote)
	l.until[name] = l.until[name].Add(-attemptEvery)
}

// name returns the name under which an address is counted; the caller holds mu.
func (l *limiter) name(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	if _, known := l.until[host]; !known && len(l.until) >= attemptMost {
		return ""
	}
	return host
}
