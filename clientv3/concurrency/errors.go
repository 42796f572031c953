package concurrency

import "errors"

var (
	// ErrLocked is returned by TryLock when another owner has the lock, or waits for it, and
	// by [NewClaim] when the key is attached to another lease, or to none.
	ErrLocked = errors.New("mutex: Locked by another session")

	// ErrSessionExpired is returned when the session ended, because its lease was lost or
	// because it was closed, and is the cause of the contexts that end then.
	ErrSessionExpired = errors.New("mutex: session is expired")

	// ErrLockReleased is returned by Unlock of a mutex that is not locked, and is the cause
	// of the contexts that end with Unlock or Resign.
	ErrLockReleased = errors.New("mutex: lock has already been released")

	// ErrElectionNotLeader is returned by Proclaim when the election was not won, or its
	// key is gone.
	ErrElectionNotLeader = errors.New("election: not leader")

	// ErrElectionNoLeader is returned by Leader when nobody leads.
	ErrElectionNoLeader = errors.New("election: no leader")

	// ErrOwnershipLost is returned, and is the cause of the contexts that end, when an owner's
	// or candidate's key was deleted while its session lives on.
	ErrOwnershipLost = errors.New("concurrency: the owner's key was deleted")

	// ErrNotOwner is returned by the transactions of Guard when their owner does not own.
	// Nothing was executed then.
	ErrNotOwner = errors.New("concurrency: not the owner")
)
