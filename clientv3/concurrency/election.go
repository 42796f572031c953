package concurrency

import (
	"context"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// Election lets one of several candidates lead, with a value that all can see. The candidate that
// has campaigned longest leads. Its methods are safe for concurrent use.
type Election struct {
	s      *Session
	prefix string // with the final slash
	key    string // what this candidate puts

	mu       sync.Mutex
	claim    *Claim             // guarded by mu; nil: not elected
	resigned bool               // guarded by mu; claim leads no more, though its key may not be deleted yet
	waiting  map[*Claim]bool    // guarded by mu; of the Campaigns under way; true: withdrawn by Resign
	rev      int64              // guarded by mu; of the last candidacy
	header   *pb.ResponseHeader // guarded by mu
}

// NewElection returns a candidate for the election whose keys are below pfx followed by a
// slash. It does not campaign yet.
func NewElection(s *Session, pfx string) *Election {
	prefix := pfx + "/"
	return newElection(s, prefix, s.ownerKey(prefix))
}

func newElection(s *Session, prefix, key string) *Election {
	return &Election{s: s, prefix: prefix, key: key, waiting: make(map[*Claim]bool)}
}

// ResumeElection returns the candidate that already leads with this key and create revision, for a
// restarted process that took up its session with [WithLease]. It does not check that the candidate
// leads; if the candidate does not, its Context soon ends. With an empty key it does not lead yet.
// The prefix is that of [NewElection]; the key shows whether it needs another slash, as with the
// official client. Once the candidate no longer leads with this key, Campaign puts the key that a
// new election would.
func ResumeElection(s *Session, pfx string, leaderKey string, leaderRev int64) *Election {
	prefix := pfx + "/"
	if strings.HasSuffix(pfx, "/") && strings.HasPrefix(leaderKey, pfx) && !strings.HasPrefix(leaderKey, prefix) {
		prefix = pfx
	}
	key := leaderKey
	if !strings.HasPrefix(key, s.ownerPrefix(prefix)) {
		key = s.ownerKey(prefix)
	}
	e := newElection(s, prefix, key)
	e.rev = leaderRev
	if leaderKey == "" {
		return e
	}
	c, _ := s.claim(leaderKey, nil, nil, func(k *core) (*hold, error) { return k.resume(leaderRev), nil })
	_ = c.take(s.life) // it may have ended, as any
	e.claim = c
	return e
}

// Campaign waits until this candidate leads, with val as its value. If it campaigns or leads
// already, it gets the new value. Campaign returns nil only while the candidate's key exists and is
// the first. It fails with the context's error when the context ends first, with
// [ErrSessionExpired] when the session ends, with [ErrElectionNotLeader] when [Election.Resign]
// withdraws it, and with [ErrOwnershipLost] when another client deletes the key. After a failure
// the candidate withdraws, in the background if necessary.
func (e *Election) Campaign(ctx context.Context, val string) error {
	for {
		c, err := e.campaign(ctx, val)
		if err == errAgain {
			continue
		}
		if err != nil && c != nil {
			c.Abandon()
		}
		return err
	}
}

func (e *Election) campaign(ctx context.Context, val string) (*Claim, error) {
	entry, err := e.s.enter(ctx, e.prefix, e.key, val)
	if err != nil {
		return nil, err
	}
	c := entry.claim
	e.mu.Lock()
	e.waiting[c] = false
	e.rev, e.header = c.rev, c.header
	e.mu.Unlock()
	if entry.found && entry.value != val {
		if _, err = c.put(ctx, val); err == ErrOwnershipLost {
			err = c.ended(ctx)
		}
	}
	if err == nil && (entry.found || entry.ahead != nil) {
		_, err = c.turn(ctx, e.prefix, entry.ahead)
	}
	if err == nil {
		err = c.take(ctx)
	}
	return c, e.won(c, err)
}

// won turns the claim of a Campaign that has waited into the leadership, if its outcome allows it.
func (e *Election) won(c *Claim, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	withdrawn := e.waiting[c]
	delete(e.waiting, c)
	switch {
	case withdrawn:
		return ErrElectionNotLeader
	case err != nil:
		return err
	}
	e.claim, e.resigned, e.rev, e.header = c, false, c.rev, c.header
	return nil
}

// Proclaim changes the value of the leader, or of a waiting candidate, without another election. If
// this candidate is neither, it fails with [ErrElectionNotLeader]. A Proclaim whose outcome was
// unknown never takes effect after a later one.
func (e *Election) Proclaim(ctx context.Context, val string) error {
	c := e.candidate()
	if c == nil {
		return ErrElectionNotLeader
	}
	h, err := c.put(ctx, val)
	if err != nil && err != ErrOwnershipLost {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == ErrOwnershipLost {
		// It no longer leads. Resign sends its request all the same, as after an election that it
		// won.
		e.resigned = e.resigned || e.claim == c
		return ErrElectionNotLeader
	}
	e.header = h
	return nil
}

// Resign ends the leadership, or withdraws a waiting candidate, whose [Election.Campaign] fails
// with [ErrElectionNotLeader]. It does nothing if this candidate neither leads nor waits. It
// deletes only the key that Campaign put. If it fails, the deletion goes on in the background, and
// Resign may be called again; either way the leadership ended with the call.
func (e *Election) Resign(ctx context.Context) (err error) {
	e.mu.Lock()
	c := e.claim
	e.resigned = c != nil
	for w := range e.waiting {
		e.waiting[w] = true
		if c == nil {
			c = w // all have the same key
		}
	}
	e.mu.Unlock()
	if c == nil {
		return nil
	}
	h, err := c.release(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(c)
	e.header = h
	return nil
}

// forget ends the leadership here; the caller holds mu.
func (e *Election) forget(c *Claim) {
	if e.claim == c {
		e.claim = nil
	}
}

// elected returns the claim with which this candidate leads, nil if it does not.
func (e *Election) elected() *Claim {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leading()
}

// leading is elected for a caller that holds mu.
func (e *Election) leading() *Claim {
	if e.resigned {
		return nil
	}
	return e.claim
}

// candidate returns the claim with which this candidate leads or waits, nil if it does neither.
func (e *Election) candidate() *Claim {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.leading(); c != nil {
		return c
	}
	for c := range e.waiting {
		return c // all have the same key
	}
	return nil
}

// Leader returns the leader's key and value, or [ErrElectionNoLeader] if there is no leader.
func (e *Election) Leader(ctx context.Context) (*v3.GetResponse, error) {
	r, err := e.s.client.Get(ctx, e.prefix, v3.WithFirstCreate()...)
	if err != nil {
		return nil, err
	}
	if len(r.Kvs) == 0 {
		return nil, ErrElectionNoLeader
	}
	return r, nil
}

// Key returns the leader's key while this candidate leads, else the empty string.
func (e *Election) Key() string {
	if c := e.elected(); c != nil {
		return c.key
	}
	return ""
}

// Rev returns the create revision of the key that the last [Election.Campaign] put or found, also
// while that waits and after it failed; 0 before.
func (e *Election) Rev() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rev
}

// Header returns the header of the answer to the last successful [Election.Proclaim] or
// [Election.Resign], or of the one that put or found the key of the last [Election.Campaign]; nil
// before.
func (e *Election) Header() *pb.ResponseHeader {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.header
}

// IsOwner returns a comparison for transactions that holds while this candidate leads. See also
// [Guard].
func (e *Election) IsOwner() v3.Cmp { return isOwner(e.elected()) }

// Fence returns the fencing token of the leadership, as [Mutex.Fence].
func (e *Election) Fence() int64 { return fence(e.elected()) }

// Context ends with the leadership, as [Mutex.Context] with the ownership.
func (e *Election) Context() context.Context { return contextOf(e.elected()) }
