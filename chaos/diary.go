package main

import (
	"fmt"
	"sync"
	"time"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// diary keeps what the clients' hooks report about members, streams and leases, to explain a
// violation. The checkers use only when a lease was last renewed and whether the server had
// dropped it.
type diary struct {
	clock history.Clock

	mu      sync.Mutex
	entries []entry                 // guarded by mu
	acks    map[int64]time.Duration // guarded by mu; when each lease was last granted or renewed
	ended   map[int64]bool          // guarded by mu; leases that the server does not have any more
}

type entry struct {
	At     time.Duration
	Client int
	Text   string
}

// slowAttempt is the least duration of an attempt that the diary keeps.
const slowAttempt = 500 * time.Millisecond

// maxEntries bounds the diary. A minute of faults makes a few thousand entries.
const maxEntries = 200_000

func (d *diary) note(client int, format string, args ...any) {
	e := entry{d.clock.Now(), client, fmt.Sprintf(format, args...)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.entries) < maxEntries {
		d.entries = append(d.entries, e)
	}
}

func (d *diary) hooks(client int) clientv3.Hooks {
	return clientv3.Hooks{
		Member: func(m clientv3.MemberChange) { d.note(client, "member %+v", m) },
		Stream: func(s clientv3.StreamInfo) { d.note(client, "stream %+v", s) },
		Attempt: func(a clientv3.AttemptInfo) {
			if a.Took >= slowAttempt || a.Method == "Auth.Authenticate" {
				d.note(client, "attempt %+v", a)
			}
		},
		Lease: func(l clientv3.LeaseInfo) {
			d.note(client, "lease %+v", l)
			switch l.Event {
			case clientv3.LeaseGranted, clientv3.LeaseRenewed, clientv3.LeaseRestored:
				d.mu.Lock()
				defer d.mu.Unlock()
				d.acks[int64(l.ID)] = d.clock.Now()
			case clientv3.LeaseLost:
				if l.Reason == "expired" {
					d.mu.Lock()
					defer d.mu.Unlock()
					d.ended[int64(l.ID)] = true
				}
			}
		},
	}
}

// gone reports whether a lease was lost because the server said that it does not have it.
func (d *diary) gone(lease int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended[lease]
}

// renewed is when a lease was last granted or renewed.
func (d *diary) renewed(lease int64) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.acks[lease]
}
