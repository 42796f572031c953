// Package keep keeps keys of one process in etcd as their owners need them, under one lease of its
// own.
//
// One goroutine (run) has the lease: it is granted when there is something to keep, kept alive, and
// granted anew when etcd says that it is gone; then every key is looked at again. A second
// goroutine (write) takes keys that are not known to be right, a few at a time, and settles each
// with the requests of its machine (machine.go, settle.go). The own keys are watched (span.go), and
// a key that another client changed is settled again. There is no goroutine per key.
//
// Keeper.mu guards all state. An entry is in the queue at most once, and one goroutine at a time
// settles it; changes meanwhile are a later turn of its machine. Spec.Judge decides what is special
// to a key.
package keep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/relapse"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// writeBurst keys are written without a delay.
	writeBurst = 100
	// writers is how many keys are written at a time.
	writers = 8
	// WriteTry bounds one request, grantTry the one for the lease. Each further request for a key
	// gets twice the time, writeTryDoubles times: otherwise an overloaded etcd would get more
	// requests.
	WriteTry        = 2 * time.Second
	writeTryDoubles = 3
	grantTry        = 3 * time.Second
	// listTry bounds a look at a span, which the server may have to search.
	listTry = 10 * time.Second
	// herdRate is how many processes write per second after an outage that all of them have
	// noticed. etcd can do several times as much, but has other work then. Each process counts the
	// keys of its crowd every countEvery, and draws its turn from that number.
	herdRate   = 1000
	countEvery = time.Minute
	// refusedEvery is how often a refused request is tried again: an operator has to grant a
	// permission.
	refusedEvery = 5 * time.Second
	// closeTry bounds the removal of keys when a Keeper is closed.
	closeTry = 3 * time.Second
)

// Retry is the wait between two tries while etcd does not answer: short, since a key should be back
// within a second.
var Retry = backoff.Policy{Base: 50 * time.Millisecond, Max: 400 * time.Millisecond}

var (
	// ErrTaken is wrapped when another process has the key, or it is kept here already.
	ErrTaken = errors.New("discovery: the id is taken")
	// ErrClosed is returned by a closed [Kept] or [Keeper].
	ErrClosed = errors.New("discovery: closed")

	errLeaseLost  = errors.New("discovery: the lease was lost")
	errChanged    = errors.New("discovery: another client deleted or replaced the record")
	errWatchEnded = errors.New("discovery: the watch has ended")
)

// Spec describes a key to be kept.
type Spec struct {
	Key   string
	Value []byte
	// Judge says what becomes of a found record. It is called with the Keeper's lock held, so it
	// must not call the Keeper.
	Judge func(Found) Verdict
	// Notify is called for each event of the key, from several goroutines, without the lock.
	Notify func(kind Kind, err error)
	// Crowd is the prefix of the keys whose processes come back together after an outage; empty if
	// there is none.
	Crowd string
}

// Kept is a key that is kept. It is safe for concurrent use.
type Kept struct {
	k *Keeper
	e *entry
}

// entry is a key and who owns it.
type entry struct {
	machine
	key     string
	spec    Spec // of the owner
	owner   *Kept
	span    *span
	why     error // of the last try that failed, if none has succeeded since
	waiting []waiter
	// answered is the revision of the last answer. What etcd has under the key at that revision is
	// not newer.
	answered int64
	// unsure has the values of puts that were not answered: each may still create the key.
	unsure []string
}

// waiter waits for a turn to be settled.
type waiter struct {
	turn int
	done chan error
}

// Keeper keeps keys. It is safe for concurrent use.
type Keeper struct {
	client  *clientv3.Client
	ttl     int64
	limiter *rate.Limiter
	group   *worker.Group
	slots   chan struct{} // bounds writers
	work    chan struct{} // there may be something to write
	need    chan struct{} // the first key came, or the last went
	expired chan struct{} // etcd does not know the lease

	mu      sync.Mutex
	closed  bool
	lease   clientv3.LeaseID          // 0: none
	lapsed  bool                      // it was not renewed in time, and may be over
	idled   clientv3.LeaseID          // the one that was given up last, if it is to be revoked; 0: none
	why     error                     // why there is none, if known
	former  map[clientv3.LeaseID]bool // leases of this Keeper that are over
	entries map[string]*entry         // by key; also those that are to be removed
	queue   []*entry                  // to be settled
	spans   []*span                   // that are watched, in order; each entry is in one
	watchIt func(*span, int64)        // starts to watch a span from a revision on; nil: no lease
	others  int64                     // keys of the crowds, when last counted
	over    relapse.Ended             // keys that were entries
	unsure  map[string][]string       // by key: values of unanswered puts under the present lease
	blind   sync.Once                 // logs that keys of the lease cannot be seen
}

// New makes a Keeper; it does nothing until there is a key. ttl is the time to live of the lease,
// in seconds, perSecond how many keys are written per second.
func New(client *clientv3.Client, ttl int64, perSecond int) *Keeper {
	k := &Keeper{
		client: client, ttl: ttl, limiter: rate.NewLimiter(rate.Limit(perSecond), min(writeBurst, perSecond)),
		group: worker.New(
			client.Ctx(),
		), slots: make(chan struct{}, writers), work: make(chan struct{}, 1), need: make(chan struct{}, 1),
		expired: make(chan struct{}, 1),
		former:  make(map[clientv3.LeaseID]bool), entries: make(map[string]*entry),
		unsure: make(map[string][]string),
	}
	k.group.Go(k.run)
	k.group.Go(k.write)
	return k
}

// Go starts f in a goroutine. [Keeper.Close] ends its context and waits for it.
func (k *Keeper) Go(f func(context.Context)) { k.group.Go(f) }

// Lease returns the present lease of the keys; [clientv3.NoLease] while there is none, or while it
// may have ended.
func (k *Keeper) Lease() clientv3.LeaseID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.usable()
}

// usable returns the lease that keys can be written under; the caller holds mu.
func (k *Keeper) usable() clientv3.LeaseID {
	if k.lapsed {
		return clientv3.NoLease
	}
	return k.lease
}

// Keep begins to keep a key and returns when etcd has it. When ctx ends first, or another process
// has the key, it is not kept.
func (k *Keeper) Keep(ctx context.Context, s Spec) (*Kept, error) {
	h, done, err := k.add(s)
	if err != nil {
		return nil, err
	}
	if err := k.await(ctx, h.e, done); err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.e.owner == h && h.e.target != Gone {
			k.enqueue(h.e, h.e.want(Gone, nil))
		}
		return nil, err
	}
	return h, nil
}

// add adds a key; the channel gets the outcome of its first writing.
func (k *Keeper) add(s Spec) (*Kept, <-chan error, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, nil, ErrClosed
	}
	e := k.entries[s.Key]
	switch {
	case e == nil:
		e = &entry{key: s.Key}
		k.entries[s.Key] = e
		k.cover(e)
	case e.target != Gone:
		return nil, nil, fmt.Errorf("%w: %s is registered here already", ErrTaken, s.Key)
	}
	e.answerWaiters(e.turn, nil) // for callers of Close: it was removed, and now comes again
	e.spec, e.owner = s, &Kept{k, e}
	queue := e.adopt(s.Value)
	done := e.expect()
	k.enqueue(e, queue)
	signal(k.need)
	return e.owner, done, nil
}

// await waits for an outcome.
func (k *Keeper) await(ctx context.Context, e *entry, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return k.late(ctx, e)
	case <-k.group.Context().Done():
		return ErrClosed
	}
}

// Set changes the value and returns when etcd has it. change is called with the Keeper's lock held
// and returns the new value, or an error that Set returns. When ctx ends first, the change goes on
// in the background. A value that can never be stored is dropped, and the previous one stays.
func (h *Kept) Set(ctx context.Context, change func() ([]byte, error)) error {
	return h.amend(ctx, func() (bool, error) {
		value, err := change()
		if err != nil {
			return false, err
		}
		if h.e.target == Hidden { // it is shown with the next success of the check
			h.e.value = value
			return h.e.touch(), nil
		}
		return h.e.want(Present, value), nil
	})
}

// Close removes the key, if it is still ours, and returns when it is gone. When ctx ends first, the
// removal goes on in the background; at the latest the key goes with its lease.
func (h *Kept) Close(ctx context.Context) error {
	return h.amend(ctx, func() (bool, error) { return h.e.want(Gone, nil), nil })
}

// amend changes the target and waits until it is reached.
func (h *Kept) amend(ctx context.Context, change func() (queue bool, err error)) error {
	k, e := h.k, h.e
	k.mu.Lock()
	if h.over() {
		k.mu.Unlock()
		return ErrClosed
	}
	queue, err := change()
	if err != nil {
		k.mu.Unlock()
		return err
	}
	done := e.expect()
	k.enqueue(e, queue)
	k.mu.Unlock()
	return k.await(ctx, e, done)
}

// Hide removes the key for now, or puts it back; it reports whether that is a change.
func (h *Kept) Hide(hidden bool) bool {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	if h.over() {
		return false
	}
	changed, queue := h.e.hide(hidden)
	h.k.enqueue(h.e, queue)
	return changed
}

// over reports whether the key is no longer kept; the caller holds mu.
func (h *Kept) over() bool { return h.k.closed || h.e.owner != h || h.e.target == Gone }

// Closed reports whether the key is no longer kept.
func (h *Kept) Closed() bool {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	return h.over()
}

// Value returns the value to be kept.
func (h *Kept) Value() []byte {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	return h.e.value
}

// Revision returns the mod revision of the record that was written last.
func (h *Kept) Revision() int64 {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	return h.e.mod
}

// expect returns a channel that gets the outcome of the present turn; the caller holds mu.
func (e *entry) expect() <-chan error {
	done := make(chan error, 1)
	e.waiting = append(e.waiting, waiter{e.turn, done})
	return done
}

// answerWaiters answers callers that wait for a turn or an earlier one; the caller holds mu.
func (e *entry) answerWaiters(turn int, err error) {
	left := e.waiting[:0]
	for _, w := range e.waiting {
		if w.turn <= turn {
			w.done <- err
		} else {
			left = append(left, w)
		}
	}
	if e.waiting = left; len(left) == 0 {
		e.waiting = nil
	}
}

// enqueue puts an entry into the queue if queue is set; the caller holds mu.
func (k *Keeper) enqueue(e *entry, queue bool) {
	if queue {
		k.queue = append(k.queue, e)
	}
	signal(k.work)
}

// signal wakes the receiver of a channel with room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Close removes all keys at once, revokes the lease and ends the Keeper. It takes 3 s at most: keys
// that could not be removed by then go with the lease.
func (k *Keeper) Close() error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil
	}
	k.closed = true
	id, lapsed, idled := k.lease, k.lapsed, k.idled
	for _, e := range k.entries {
		e.answerWaiters(e.turn, ErrClosed)
	}
	k.mu.Unlock()
	k.group.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.client.Ctx()), closeTry)
	defer cancel()
	if idled != clientv3.NoLease { // if that fails, the lease expires soon
		_, _ = k.client.Revoke(ctx, idled)
	}
	if id == clientv3.NoLease {
		return nil
	}
	_, err := k.client.Revoke(ctx, id) // deletes the keys too
	if lapsed || errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	if clientv3.Code(err) == codes.PermissionDenied { // for one of the keys, which goes with the lease
		k.removeAll(ctx, id)
	}
	return err
}

// removeAll removes the keys under a lease one by one, as far as that is allowed.
func (k *Keeper) removeAll(ctx context.Context, id clientv3.LeaseID) {
	var removing sync.WaitGroup
	for key := range k.entries { // nobody else uses them any more
		k.slots <- struct{}{}
		removing.Go(func() {
			defer func() { <-k.slots }()
			k.request(ctx, key, request{do: remove, lease: int64(id)}, closeTry)
		})
	}
	removing.Wait()
}
