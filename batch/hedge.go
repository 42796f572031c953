package batch

import (
	"context"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// The client below sends a read of one key a second time, to another member, when it takes
// unusually long. It does not do so with a transaction, so all reads that travel together would
// wait until a silent member is found to be silent. That is why a group of reads is sent a second
// time too: the first answer counts, and the other request is cancelled.

const (
	// A group's request takes unusually long when it exceeds hedgeTimes its usual duration and
	// hedgeLeast: on a busy machine a request may stand still for some milliseconds.
	hedgeTimes = 4
	hedgeLeast = 50 * time.Millisecond
	// hedgeShare of the groups may be sent twice, after a burst of hedgeBurst: when all are slow,
	// the load is the reason, and more load does not help.
	hedgeShare = 0.05
	hedgeBurst = 20
)

// pace is how long a queue's requests usually take, and how many more may be sent twice.
type pace struct {
	mu     sync.Mutex
	usual  time.Duration // guarded by mu; moving average; 0: unknown
	budget float64       // guarded by mu
	begun  bool          // guarded by mu; the budget has had its burst
}

// delay returns how long a request that begins now may take before it counts as unusually long.
func (p *pace) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun {
		p.begun, p.budget = true, hedgeBurst
	}
	p.budget = min(p.budget+hedgeShare, hedgeBurst)
	return max(hedgeLeast, hedgeTimes*p.usual)
}

// took learns from a request's duration.
func (p *pace) took(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.usual == 0 {
		p.usual = d
		return
	}
	p.usual += (d - p.usual) / 8
}

func (p *pace) spend() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.budget < 1 {
		return false
	}
	p.budget--
	return true
}

// result is the answer to a request.
type result struct {
	r   clientv3.OpResponse
	err error
}

// hedged executes a transaction that only reads.
func (q *queue) hedged(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	began := time.Now()
	ctx, end := context.WithCancel(ctx)
	defer end()
	firstCtx, endFirst := context.WithCancel(ctx)
	second := make(chan result, 1)
	timer := time.AfterFunc(q.pace.delay(), func() {
		var other result
		defer func() { second <- other }()
		if !q.pace.spend() {
			other.err = context.Canceled // it was not made
			return
		}
		if other.r, other.err = q.below.Do(ctx, op); other.err == nil {
			endFirst()
		}
	})
	r, err := q.below.Do(firstCtx, op)
	endFirst()
	switch {
	case timer.Stop(): // nothing else was sent
	case err == nil:
		end() // cancels the second one
		<-second
	default:
		if other := <-second; other.err == nil {
			r, err = other.r, nil
		}
	}
	if err == nil {
		q.pace.took(time.Since(began))
	}
	return r, err
}
