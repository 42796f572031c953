package batch

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// A queue is where operations of one kind meet. A caller that finds a free slot executes its
// operation at once. Other operations join the last waiting group. When a slot becomes free, the
// first waiting group takes it. So an operation is in one of these states:
//
//	alone    executed by its caller, with the caller's context
//	waiting  in a group of queue.waiting
//	sent     in a group that a goroutine (queue.run) executes; nobody joins it any more
//	done     group.done is closed; the caller takes its part of the answer, or executes the
//	         operation alone if the group was refused
//
// A caller whose context ends leaves its group in any state. It takes its operation out of a
// waiting group. After a caller left a group that was sent, the client below does not repeat that
// group: it would send a write whose caller has left and may have written something else to the key
// by now. The last caller to leave a group that was sent cancels it. The goroutine of run lives as
// long as there are groups.
//
// The obvious design, a pooled channel for each operation, wakes each caller by a send of its
// own. Here one close wakes a whole group, and an operation costs no allocation of its own.
type queue struct {
	below clientv3.KV
	write bool

	mu      sync.Mutex
	waiting []*group    // guarded by mu; oldest first, only the last one takes more
	busy    int         // guarded by mu; slots taken
	joined  uint64      // guarded by mu; operations that joined a group so far
	inside  int         // guarded by mu; operations that are executed or wait
	maxOps  int         // guarded by mu; falls if a server allows fewer
	maxSize int         // guarded by mu; bytes of a group; falls likewise
	timer   *time.Timer // guarded by mu; runs while a group waits; nil before the first
	refused loners
	pace    pace
}

const (
	// maxOps is a server's default limit of operations in one transaction (--max-txn-ops).
	maxOps = 128
	// maxBytes of keys and values travel together; a server's default limit for a request is 1.5
	// MiB (--max-request-bytes).
	maxBytes = 1 << 20
	// slots is how many requests of one kind are under way at once before operations gather. With
	// one, the server is idle while the client hands out answers; with more, the groups of a
	// smaller crowd become small (bench/batch).
	slots = 2
	// Up to few operations go alone, one in each slot. Up to crowd operations go in one slot, since
	// in two their groups would be too small to save anything.
	few   = 2
	crowd = 32
	// patience is how long a group waits for a slot at most: slow requests (a member that hangs, a
	// server far away) must not hold up all others.
	patience = 10 * time.Millisecond
	// maxSlots bounds the slots that patience adds.
	maxSlots = 64
	// maxYields: the goroutine that received answers lets their callers run before the next group
	// goes, as long as that group grows by it. Callers that ask again do so at once; without
	// waiting for them a crowd of eight would go in groups of one and two.
	maxYields = 8
)

func newQueue(below clientv3.KV, write bool) *queue {
	return &queue{below: below, write: write, maxOps: maxOps, maxSize: maxBytes}
}

// group is operations that travel together.
type group struct {
	ops    []clientv3.Op       // guarded by queue.mu until sent
	keys   map[string]struct{} // of writes; guarded by queue.mu until sent
	size   int                 // bytes of keys and values; guarded by queue.mu until sent
	gone   []int               // places in ops whose callers left before it was sent; guarded by queue.mu until sent
	left   int                 // callers that still wait; guarded by queue.mu
	cancel context.CancelFunc  // guarded by queue.mu; set when sent
	missed atomic.Bool         // a caller left after it was sent

	done chan struct{} // closed when those below are set
	one  clientv3.OpResponse
	txn  *clientv3.TxnResponse
	err  error
}

// do executes op, alone or with others.
func (q *queue) do(ctx context.Context, op *clientv3.Op) (clientv3.OpResponse, error) {
	if err := ctx.Err(); err != nil {
		return clientv3.OpResponse{}, err
	}
	if q.refused.has(op) {
		r, err := single(ctx, q.below, op)
		if err == nil {
			q.refused.remove(op)
		}
		return r, err
	}
	g, i := q.enter(op)
	if g == nil {
		defer q.next()
		defer q.out()
		return single(ctx, q.below, op)
	}
	defer q.out()
	select {
	case <-g.done:
	case <-ctx.Done():
		q.leave(g, i)
		return clientv3.OpResponse{}, ctx.Err()
	}
	switch {
	case g.err != nil && q.again(g):
		r, err := single(ctx, q.below, op)
		if err != nil && clientv3.SafeToRetry(err) && ctx.Err() == nil {
			q.refused.add(op)
		}
		return r, err
	case g.err != nil:
		return clientv3.OpResponse{}, named(g.err, op)
	case g.txn == nil:
		return g.one, nil
	}
	return answer(g.txn, g.place(i))
}

// place returns where the i-th operation that joined a group is in the group as it was sent.
func (g *group) place(i int) int {
	place := i
	for _, gone := range g.gone {
		if gone < i {
			place--
		}
	}
	return place
}

// enter takes a slot for op and returns no group, or puts op into a group.
func (q *queue) enter(op *clientv3.Op) (*group, int) {
	size := sizeOf(op)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inside++
	if len(q.waiting) == 0 && (q.busy == 0 || q.busy < slots && q.inside <= few) {
		q.busy++
		return nil, 0
	}
	var g *group
	if n := len(q.waiting); n > 0 {
		g = q.waiting[n-1]
	}
	if g == nil || len(g.ops) >= q.maxOps || g.size+size > q.maxSize || g.has(op) {
		g = &group{done: make(chan struct{})}
		if len(q.waiting) > 0 { // there is a crowd
			g.ops = make([]clientv3.Op, 0, q.maxOps)
		}
		q.waiting = append(q.waiting, g)
		if len(q.waiting) == 1 {
			q.wait()
		}
	}
	g.ops = append(g.ops, *op)
	q.joined++
	g.size += size
	g.left++
	if q.write {
		if g.keys == nil {
			g.keys = make(map[string]struct{})
		}
		g.keys[string(op.KeyBytes())] = struct{}{}
	}
	return g, len(g.ops) - 1
}

// has reports whether the group writes op's key already: a server refuses a transaction that writes
// a key twice.
func (g *group) has(op *clientv3.Op) bool {
	_, has := g.keys[string(op.KeyBytes())]
	return has
}

// wait starts the timer of the first waiting group. Called with mu.
func (q *queue) wait() {
	if q.timer == nil {
		q.timer = time.AfterFunc(patience, q.late)
		return
	}
	q.timer.Reset(patience)
}

// take removes the first waiting group that has callers. Called with mu.
func (q *queue) take() (g *group, ctx context.Context) {
	for len(q.waiting) > 0 && g == nil {
		g = q.waiting[0]
		q.waiting[0] = nil
		if q.waiting = q.waiting[1:]; g.left == 0 {
			g = nil
		}
	}
	if len(q.waiting) > 0 {
		q.wait()
	} else if q.timer != nil {
		q.timer.Stop()
	}
	if g == nil {
		return nil, nil
	}
	g.compact()
	// Without a member, callers go on by themselves, each as its context says: some wait for a
	// member and some do not.
	ctx, g.cancel = context.WithCancel(context.Background())
	if q.write {
		ctx = clientv3.WithRepeatWhile(ctx, func() bool { return !g.missed.Load() })
	}
	return g, clientv3.WithFailFast(ctx)
}

// compact removes the operations whose callers have left. Called with queue.mu.
func (g *group) compact() {
	if len(g.gone) == 0 {
		return
	}
	slices.Sort(g.gone)
	kept := g.ops[:0]
	for i := range g.ops {
		if _, gone := slices.BinarySearch(g.gone, i); !gone {
			kept = append(kept, g.ops[i])
		}
	}
	clear(g.ops[len(kept):])
	g.ops = kept
}

// next gives a slot that became free to the next group, or gives it back.
func (q *queue) next() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if g, ctx := q.pass(); g != nil {
		go q.run(ctx, g)
	}
}

// allowed returns how many slots there are for the present number of operations. Called with mu.
func (q *queue) allowed() int {
	if q.inside > few && q.inside < crowd {
		return 1
	}
	return slots
}

// pass finds the next group for a slot that became free. If there is none, or if patience added the
// slot, it gives the slot back. Called with mu.
func (q *queue) pass() (g *group, ctx context.Context) {
	if q.busy <= q.allowed() {
		g, ctx = q.take()
	}
	if g == nil {
		q.busy--
	}
	return g, ctx
}

// late gives one more slot to a group that has waited long.
func (q *queue) late() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return
	}
	if q.busy >= maxSlots {
		q.wait()
		return
	}
	if g, ctx := q.take(); g != nil {
		q.busy++
		go q.run(ctx, g)
	}
}

// run executes groups until none waits, and gives its slot back.
func (q *queue) run(ctx context.Context, g *group) {
	for g != nil {
		q.send(ctx, g)
		q.yield()
		q.mu.Lock()
		g.cancel()
		g, ctx = q.pass()
		q.mu.Unlock()
	}
}

// yield lets callers run as long as they add to the waiting groups.
func (q *queue) yield() {
	for last, n := q.soFar(), 0; n < maxYields; n++ {
		runtime.Gosched()
		joined := q.soFar()
		if joined == last {
			return
		}
		last = joined
	}
}

// out notes that an operation has ended.
func (q *queue) out() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inside--
}

// soFar returns how many operations have joined groups.
func (q *queue) soFar() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.joined
}

// send executes a group.
func (q *queue) send(ctx context.Context, g *group) {
	defer close(g.done)
	if len(g.ops) == 1 {
		g.one, g.err = q.below.Do(ctx, g.ops[0])
		return
	}
	execute := q.hedged
	if q.write {
		execute = q.below.Do
	}
	r, err := execute(ctx, clientv3.OpTxn(nil, g.ops, nil))
	g.txn, g.err = r.Txn(), err
	if err != nil {
		q.learn(g)
	}
}

// learn makes groups smaller after a server refused one for its size.
func (q *queue) learn(g *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case g.err == rpctypes.ErrTooManyOps:
		q.maxOps = max(1, min(q.maxOps, len(g.ops)/2))
	case q.write && (g.err == rpctypes.ErrRequestTooLarge || tooLarge(g.err)):
		q.maxSize = min(q.maxSize, g.size/2)
	}
}

// leave gives up the i-th operation; the last one to leave a group ends it.
func (q *queue) leave(g *group, i int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g.left--
	switch {
	case g.cancel == nil: // it waits
		op := &g.ops[i]
		g.gone = append(g.gone, i)
		g.size -= sizeOf(op)
		delete(g.keys, string(op.KeyBytes()))
	case g.left == 0:
		g.cancel()
	default:
		g.missed.Store(true)
	}
}

func sizeOf(op *clientv3.Op) int { return len(op.KeyBytes()) + len(op.ValueBytes()) }

// again: err says that the group was refused, or found no member to go to, so its operations are
// executed one by one; but not if that would only add to an overload of the servers.
func (q *queue) again(g *group) bool {
	err := g.err
	switch {
	case g.missed.Load() && clientv3.SafeToRetry(err):
		return true // it was not repeated, since a caller had left
	case overloaded(err):
		return false
	case clientv3.SafeToRetry(err), tooLarge(err):
		return true
	}
	return !q.write && noMember(err) // a write may have been executed before
}

// loners are keys that were refused. They travel alone so that they do not make the
// others' transactions fail again and again.
type loners struct {
	n    atomic.Int32
	mu   sync.Mutex
	keys map[string]struct{} // guarded by mu
}

// maxLoners bounds the memory; beyond it all keys are forgotten, which costs only repetitions.
const maxLoners = 1024

func (l *loners) has(op *clientv3.Op) bool {
	if l.n.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, has := l.keys[string(op.KeyBytes())]
	return has
}

func (l *loners) add(op *clientv3.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil || len(l.keys) >= maxLoners {
		l.keys = make(map[string]struct{})
	}
	l.keys[string(op.KeyBytes())] = struct{}{}
	l.n.Store(int32(len(l.keys)))
}

func (l *loners) remove(op *clientv3.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, string(op.KeyBytes()))
	l.n.Store(int32(len(l.keys)))
}
