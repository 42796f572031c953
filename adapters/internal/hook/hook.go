// Package hook turns the client's hooks into the few events that both adapters count.
package hook

import (
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// States are all states of a member.
var States = []clientv3.MemberState{
	clientv3.MemberConnecting, clientv3.MemberHealthy, clientv3.MemberStalled, clientv3.MemberEjected,
}

// Counter is how an adapter counts. Its methods are called from several goroutines.
type Counter interface {
	Attempt(a clientv3.AttemptInfo, code string)
	MemberChange(endpoint string, state clientv3.MemberState)
	StreamOpened(service, member string)
	StreamFailed(service, member, code string)
	WatchFailed(code string)
	LeaseEvent(event string)
	LeaseLost(reason string)
}

// Recorder is the part of an adapter that the hooks feed.
type Recorder struct {
	count   Counter
	watches atomic.Int64

	mu      sync.Mutex
	atRisk  map[clientv3.LeaseID]struct{} // guarded by mu
	clients []*clientv3.Client            // guarded by mu
}

// New returns a recorder that counts with c.
func New(c Counter) *Recorder {
	return &Recorder{count: c, atRisk: make(map[clientv3.LeaseID]struct{})}
}

// code returns the code of an error, "OK" for none.
func code(err error) string {
	if err == nil {
		return codes.OK.String()
	}
	return clientv3.Code(err).String()
}

// Hooks returns hooks that record.
func (r *Recorder) Hooks() clientv3.Hooks {
	return clientv3.Hooks{
		Attempt: func(a clientv3.AttemptInfo) { r.count.Attempt(a, code(a.Err)) },
		Member:  func(m clientv3.MemberChange) { r.count.MemberChange(m.Endpoint, m.To) },
		Stream:  r.stream,
		Watch:   r.watch,
		Lease:   r.lease,
	}
}

func (r *Recorder) stream(s clientv3.StreamInfo) {
	if s.Ended {
		r.count.StreamFailed(s.Service, s.Member, code(s.Err))
		return
	}
	r.count.StreamOpened(s.Service, s.Member)
}

func (r *Recorder) watch(w clientv3.WatchInfo) {
	switch {
	case !w.Ended:
		r.watches.Add(1)
	case w.Began:
		r.watches.Add(-1)
	}
	if w.Ended && w.Err != nil {
		r.count.WatchFailed(code(w.Err))
	}
}

func (r *Recorder) lease(l clientv3.LeaseInfo) {
	r.count.LeaseEvent(l.Event.String())
	if l.Event == clientv3.LeaseLost {
		r.count.LeaseLost(l.Reason)
	}
	switch l.Event {
	case clientv3.LeaseAtRisk:
		r.mu.Lock()
		r.atRisk[l.ID] = struct{}{}
		r.mu.Unlock()
	case clientv3.LeaseRestored, clientv3.LeaseLost, clientv3.LeaseEnded:
		r.mu.Lock()
		delete(r.atRisk, l.ID)
		r.mu.Unlock()
	}
}

// Follow adds a client whose members are to be reported. A nil client has none.
func (r *Recorder) Follow(c *clientv3.Client) {
	if c == nil {
		return // it would panic in a later collection, far from its cause
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, c)
}

// Unfollow ends that.
func (r *Recorder) Unfollow(c *clientv3.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.clients {
		if other == c {
			r.clients = append(r.clients[:i:i], r.clients[i+1:]...)
			return
		}
	}
}

// Watches returns how many watches there are.
func (r *Recorder) Watches() int64 { return r.watches.Load() }

// AtRisk returns how many leases have a renewal that was not acknowledged in time.
func (r *Recorder) AtRisk() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.atRisk)
}

// Members returns the members of all clients that are followed, each endpoint once.
func (r *Recorder) Members() []clientv3.MemberStatus {
	r.mu.Lock()
	clients := append([]*clientv3.Client(nil), r.clients...)
	r.mu.Unlock()
	var list []clientv3.MemberStatus
	seen := make(map[string]bool)
	for _, c := range clients {
		for _, m := range c.MemberStates() {
			if !seen[m.Endpoint] {
				seen[m.Endpoint] = true
				list = append(list, m)
			}
		}
	}
	return list
}
