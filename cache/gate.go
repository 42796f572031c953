package cache

// A gate makes reads of one prefix consistent. A read may be answered from the copy once the copy
// has everything that was written before the read began. A linearizable read of one key finds out
// how much that is: the revision in its header. It reads the copy's newest key, since a wiped or
// restored etcd may have reached the copy's revision by other writes. Reads share such a quorum
// read, but only one that began after they arrived. So one is under way at a time, and reads that
// arrive meanwhile form the next crowd.
//
// Then the copy has to reach that revision. If the last writes were to other keys, no event will
// say so; the gate asks the servers for their progress, if their answer can be believed (see
// trust.go). If the copy does not get there soon, the client takes over: each read of the crowd is
// then sent to etcd, which is always right.
//
// A gate has one goroutine while reads wait, none otherwise.

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// quorumTry bounds the quorum read: far above the time of an answer that a client which knows
	// its members waits for. After it every read is on its own.
	quorumTry = time.Second
	// reachTry is how long a copy may take to reach a revision that exists: above the usual lag of
	// a follower, below what a caller would call an outage.
	reachTry = 100 * time.Millisecond
	// reachBrief applies where the servers do not say how far they are: an event under way is worth
	// a moment, but most likely none comes.
	reachBrief = 2 * time.Millisecond
	// askAgain is how long one request for progress may stay unanswered: a server that is bringing
	// a watch up to date does not answer, for a tenth of a second at most.
	askAgain = 20 * time.Millisecond
	// silences is how many crowds in a row may wait in vain before progress counts as unavailable.
	silences = 2
	// gatherTries bounds how often a quorum read is put off for a crowd that still grows; each time
	// takes a microsecond or so.
	gatherTries = 8
)

type gate struct {
	f *feed

	mu      sync.Mutex
	next    *crowd // guarded by mu: reads that arrived since the quorum read under way began
	running bool   // guarded by mu

	want    atomic.Int64  // the revision that the goroutine waits for, 0 none
	woke    chan struct{} // it was reached, or a server has answered
	answers atomic.Int64  // believable answers to requests for progress

	// The goroutine's own.
	seen   int64 // answers
	asked  bool  // a request has no answer yet
	silent int   // crowds that have waited in vain for an answer, in a row
	ahead  bool  // the last crowd needed progress: ask at once
}

// crowd is reads that wait for one quorum read.
type crowd struct {
	size int // guarded by gate.mu
	done chan struct{}
	v    *version // to answer from; nil: ask the client
}

func newGate(f *feed) *gate { return &gate{f: f, woke: make(chan struct{}, 1)} }

// consistent returns a version that has everything written before the call, nil if the caller has
// to ask the client. The error says that ctx has ended or that the cache is closed.
func (g *gate) consistent(ctx context.Context) (*version, error) {
	g.mu.Lock()
	cr := g.next
	if cr == nil {
		cr = &crowd{done: make(chan struct{})}
		g.next = cr
	}
	cr.size++
	start := !g.running
	if start {
		if !g.f.c.group.Go(g.run) {
			g.mu.Unlock()
			return nil, errClosed("KV.Range")
		}
		g.running = true
	}
	g.mu.Unlock()
	if ended := ctx.Done(); ended != nil {
		select {
		case <-cr.done:
		case <-ended:
			return nil, ctx.Err()
		}
	} else {
		<-cr.done
	}
	return cr.v, nil
}

func (g *gate) run(ctx context.Context) {
	for {
		g.gather()
		g.mu.Lock()
		cr := g.next
		g.next = nil
		g.running = cr != nil
		g.mu.Unlock()
		if cr == nil {
			return
		}
		cr.v = g.serve(ctx)
		close(cr.done)
	}
}

// gather waits as long as the crowd grows: callers that the last answer has woken may read again,
// and would otherwise wait for two quorum reads.
func (g *gate) gather() {
	for n, tries := -1, 0; tries < gatherTries; tries++ {
		runtime.Gosched()
		g.mu.Lock()
		size := 0
		if g.next != nil {
			size = g.next.size
		}
		g.mu.Unlock()
		if size == n {
			return
		}
		n = size
	}
}

// serve finds a version for a crowd, nil if the crowd has to ask the client.
func (g *gate) serve(ctx context.Context) *version {
	before := g.f.now.Load()
	if before == nil {
		return nil
	}
	if g.ahead {
		g.request(ctx) // beside the quorum read, instead of after it
	}
	try, cancel := context.WithTimeout(ctx, quorumTry)
	at := time.Now()
	h, newest, err := g.read(try, before)
	cancel()
	if err != nil {
		return nil
	}
	if before.parted(h, newest) {
		g.f.suspect(before)
		return nil
	}
	g.f.shown(before, newest)
	if g.f.c.sinceMark() > markEvery/4 {
		g.f.c.marking.Store(int64(at.Sub(g.f.c.epoch)))
		g.f.c.mark(mark{at, h.Revision})
	}
	if before.rev >= h.Revision {
		g.ahead = false
		return g.same(before, g.f.now.Load())
	}
	return g.reach(ctx, before, h.Revision)
}

// read is the quorum read. It reads the copy's newest key, if that is known, which shows whether
// the history is still the copy's.
func (g *gate) read(ctx context.Context, v *version) (*pb.ResponseHeader, *mvccpb.KeyValue, error) {
	key := g.f.span.start
	if v.newest != nil {
		key = string(v.newest.Key)
	}
	var opts []clientv3.OpOption
	if !v.proves() {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	r, err := g.f.c.kv.Get(ctx, key, opts...)
	if err != nil {
		return nil, nil, err
	}
	if len(r.Kvs) == 0 {
		return r.Header, nil, nil
	}
	return r.Header, r.Kvs[0], nil
}

// same returns v, or nil if history has begun anew since before: then the quorum read says nothing
// about v.
func (g *gate) same(before, v *version) *version {
	if v.epoch != before.epoch {
		return nil
	}
	return v
}

// reach waits until the copy has reached rev.
func (g *gate) reach(ctx context.Context, before *version, rev int64) *version {
	g.want.Store(rev)
	defer g.want.Store(0)
	g.listen()
	limit := reachTry
	if g.silent >= silences || g.f.c.trust.nobody() {
		limit = reachBrief
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		g.listen()
		if v := g.f.now.Load(); v.rev >= rev {
			return g.same(before, v)
		}
		if !g.asked {
			g.request(ctx)
			g.ahead = true
		}
		select {
		case <-g.woke:
		case <-again.C:
			g.request(ctx)
		case <-end.C:
			if g.listen(); g.asked {
				g.silent++
			}
			g.asked, g.ahead = false, false
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// request asks the servers how far they are.
func (g *gate) request(ctx context.Context) {
	g.listen()
	g.asked = true
	_ = g.f.c.watcher.RequestProgress(ctx) // a failure shows as a missing answer
}

// listen notes whether a server has answered.
func (g *gate) listen() {
	if n := g.answers.Load(); n != g.seen {
		g.seen, g.asked, g.silent = n, false, 0
	}
}

// advanced is called when the copy has reached a revision, or a server has said how far it is.
func (g *gate) advanced() {
	if g.want.Load() == 0 {
		return
	}
	select {
	case g.woke <- struct{}{}:
	default:
	}
}
