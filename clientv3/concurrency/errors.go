package concurrency

import (
	"errors"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// After ErrLocked, ErrElectionNotLeader, ErrElectionNoLeader and ErrNotOwner,
// [github.com/fairlead-go/fairlead/clientv3.SafeToRetry] is true: nothing was executed. The others
// are also causes of contexts, which do not say how far a request came.
var (
	// ErrLocked is returned by [Mutex.TryLock] when another owner has the lock, or waits for it,
	// and by [NewClaim] when the key is attached to another lease, or to none.
	ErrLocked = v3.Refusal("mutex: Locked by another session")

	// ErrSessionExpired is returned when the session ended, because its lease was lost or
	// because it was closed, and is the cause of the contexts that end then.
	ErrSessionExpired = errors.New("mutex: session is expired")

	// ErrLockReleased is returned by [Mutex.Unlock] of a mutex that is not locked, and is the cause
	// of the contexts that end with [Mutex.Unlock] or [Election.Resign].
	ErrLockReleased = errors.New("mutex: lock has already been released")

	// ErrElectionNotLeader is returned by [Election.Proclaim] when the election was not won, or its
	// key is gone, and by an [Election.Campaign] that [Election.Resign] withdrew.
	ErrElectionNotLeader = v3.Refusal("election: not leader")

	// ErrElectionNoLeader is returned by [Election.Leader] when there is no leader.
	ErrElectionNoLeader = v3.Refusal("election: no leader")

	// ErrOwnershipLost is returned, and is the cause of the contexts that end, when an owner's
	// or candidate's key was deleted while its session lives on.
	ErrOwnershipLost = errors.New("concurrency: the owner's key was deleted")

	// ErrNotOwner is returned by the transactions of [Guard] when their owner does not own. Nothing
	// was executed then.
	ErrNotOwner = v3.Refusal("concurrency: not the owner")
)
