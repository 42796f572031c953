package recipe

import (
	"errors"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

var (
	// ErrKeyExists is returned by [Barrier.Hold] when the barrier is held already.
	ErrKeyExists = v3.Refusal("key already exists")
	// ErrWaitMismatch is returned when the awaited event cannot come any more.
	ErrWaitMismatch = errors.New("unexpected wait result")
	// ErrTooManyClients is returned by [DoubleBarrier.Enter] when enough processes have entered
	// before.
	ErrTooManyClients = errors.New("too many clients")
	// ErrNoWatcher is returned when a watch ended without an error.
	ErrNoWatcher = errors.New("no watcher channel")
	// ErrNotHeld is returned by [Semaphore.Release] when the semaphore is not held.
	ErrNotHeld = errors.New("nothing is held")
)
