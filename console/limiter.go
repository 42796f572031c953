package console

import (
	"net"
	"sync"
	"time"
)

const (
	// attemptBurst failures to get in are free: a typing error does not hurt.
	attemptBurst = 10
	// attemptEvery is in how much time one of them is forgiven after that: guessing takes for ever.
	attemptEvery = 2 * time.Second
	// attemptMost addresses are remembered. Past it all new ones share a limit.
	attemptMost = 1000
)

// limiter slows down those who fail to get in, each address for itself so that nobody locks out
// others.
type limiter struct {
	mu sync.Mutex // guards what follows
	// until is when all failures of an address are forgiven.
	until map[string]time.Time
}

// take lets an address try, unless too many of its tries have failed or are under way. A try counts
// as failed until forgive.
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

// forgive takes back a try.
func (l *limiter) forgive(remote string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := l.name(remote)
	l.until[name] = l.until[name].Add(-attemptEvery)
}

// name is under what an address is counted; the caller holds mu.
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
