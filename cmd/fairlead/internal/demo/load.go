package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	loadPrefix     = "demo/load/"
	callsPerSecond = 50
	// callLimit leaves room for the slowest case, a put on its way to a member that freezes: the
	// client needs about a second to be sure that the member is silent, and then sends the put to
	// another member.
	callLimit = 5 * time.Second
	// maxInFlight is the number of calls within a call's time limit; more calls at once would mean
	// that some outlive it.
	maxInFlight = 2 * callsPerSecond * int(callLimit/time.Second)
)

// load calls at a steady rate, whatever the outcome of earlier calls: a load that waits for answers
// would pause with the cluster and hide the fault's effect.
type load struct {
	client *clientv3.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup // the pacing goroutine and every call
	slots  chan struct{}

	mu    sync.Mutex
	stats callStats // guarded by mu
}

type callStats struct {
	done, failed, puts, gets int
	slowest                  time.Duration
	slowestRecent            time.Duration // since the last snapshot
	firstFailure             error
}

func startLoad(ctx context.Context, client *clientv3.Client) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{client: client, cancel: cancel, slots: make(chan struct{}, maxInFlight)}
	l.wg.Go(func() { l.pace(ctx) })
	return l
}

// stop starts no more calls, waits for those under way, and returns the counts. It may be called
// again.
func (l *load) stop() callStats {
	l.cancel()
	l.wg.Wait()
	return l.snapshot()
}

func (l *load) snapshot() callStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	l.stats.slowestRecent = 0
	return s
}

// since returns the counts since an earlier snapshot.
func (s callStats) since(before callStats) callStats {
	return callStats{done: s.done - before.done, failed: s.failed - before.failed, slowest: s.slowestRecent}
}

func (l *load) pace(ctx context.Context) {
	tick := time.NewTicker(time.Second / callsPerSecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case l.slots <- struct{}{}:
		default:
			l.count(i, 0, fmt.Errorf("%d calls are under way", maxInFlight))
			continue
		}
		// Not under ctx: calls under way may finish, so that each is counted.
		l.wg.Go(func() {
			defer func() { <-l.slots }()
			l.call(context.WithoutCancel(ctx), i)
		})
	}
}

func (l *load) call(ctx context.Context, i int) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	start := time.Now()
	key := fmt.Sprintf("%s%05d", loadPrefix, i)
	if i%2 == 1 {
		// The key before was written some 20 ms ago, or is being written: either answer is right.
		_, err := l.client.Get(ctx, fmt.Sprintf("%s%05d", loadPrefix, i-1))
		l.count(i, time.Since(start), err)
		return
	}
	// A member that freezes may execute a put when it thaws, so by default the client waits for the
	// answer. This key has no other writer, so the put may be sent to another member as well.
	_, err := l.client.Put(clientv3.WithRepeat(ctx), key, "v")
	l.count(i, time.Since(start), err)
}

func (l *load) count(i int, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.stats
	s.done++
	if i%2 == 0 {
		s.puts++
	} else {
		s.gets++
	}
	s.slowest = max(s.slowest, took)
	s.slowestRecent = max(s.slowestRecent, took)
	if err != nil {
		s.failed++
		if s.firstFailure == nil {
			s.firstFailure = err
		}
	}
}
