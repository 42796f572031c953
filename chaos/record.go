package main

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// recorder collects every committed change through one watch per member, each on a direct
// connection, from the first revision on. The watches have to agree. Together they see what one of
// them misses while its member is down, and nothing is compacted that they have not seen.
type recorder struct {
	admin *admin
	clock history.Clock

	mu     sync.Mutex
	byRev  map[int64][]history.Event // guarded by mu
	next   int64                     // guarded by mu; all revisions below it are in byRev
	differ []string                  // guarded by mu; where members disagree

	stop    context.CancelFunc // ends the present streams
	streams sync.WaitGroup
}

// firstRevision is the revision of the first change of a new cluster: its empty store is at 1.
const firstRevision = 2

func newRecorder(a *admin, clock history.Clock) *recorder {
	return &recorder{admin: a, clock: clock, byRev: make(map[int64][]history.Event), next: firstRevision}
}

// begin records what is committed from reached on, until end is called.
func (r *recorder) begin() {
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	next := r.reached() + 1
	for m := range members {
		r.streams.Go(func() { r.follow(ctx, m, next) })
	}
}

func (r *recorder) end() {
	r.stop()
	r.streams.Wait()
}

// forget goes back to a revision, as a cluster does that is restored from a backup. It returns
// what was recorded before. It must be called between end and begin.
func (r *recorder) forget(kept int64) history.Truth {
	t, _ := r.truth()
	r.mu.Lock()
	defer r.mu.Unlock()
	for rev := range r.byRev {
		if rev > kept {
			delete(r.byRev, rev)
		}
	}
	r.next = kept + 1
	return t
}

// follow records what a member commits until ctx ends.
func (r *recorder) follow(ctx context.Context, member int, next int64) {
	for ctx.Err() == nil {
		next = r.stream(ctx, member, next)
		r.admin.forget(member)
		pause(ctx, 100*time.Millisecond)
	}
}

// stream records from one stream until it ends, and returns the revision at which the next one has
// to begin.
func (r *recorder) stream(ctx context.Context, member int, next int64) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lctx, done := context.WithTimeout(ctx, 2*time.Second)
	_, err := r.admin.login(lctx, member)
	done()
	if err != nil {
		return next
	}
	tctx, err := r.admin.login(ctx, member) // the token exists already
	if err != nil {
		return next
	}
	s, err := pb.NewWatchClient(r.admin.conns[member]).Watch(tctx, grpc.MaxCallRecvMsgSize(256<<20))
	if err != nil {
		return next
	}
	req := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: next,
	}}}
	if s.Send(req) != nil {
		return next
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return next
		}
		if m.CompactRevision > next {
			return m.CompactRevision // the others have seen what is missing
		}
		if m.Canceled {
			return next
		}
		now := r.clock.Now()
		for len(m.Events) > 0 {
			rev := m.Events[0].Kv.ModRevision
			var l []history.Event
			for len(m.Events) > 0 && m.Events[0].Kv.ModRevision == rev {
				e := m.Events[0]
				l = append(l, history.Event{
					Key: string(e.Kv.Key), Value: string(e.Kv.Value), Rev: rev, Lease: e.Kv.Lease,
					Delete: e.Type == mvccpb.Event_DELETE, Seen: now,
				})
				m.Events = m.Events[1:]
			}
			r.add(member, l)
			next = rev + 1
		}
	}
}

func (r *recorder) add(member int, l []history.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rev := l[0].Rev
	if old, ok := r.byRev[rev]; ok {
		same := slices.Clone(l)
		for i := range same {
			same[i].Seen = old[min(i, len(old)-1)].Seen
		}
		if !reflect.DeepEqual(old, same) {
			r.differ = append(
				r.differ,
				fmt.Sprintf("m%d says of revision %d: %v, another member: %v", member, rev, same, old),
			)
		}
		return
	}
	r.byRev[rev] = l
	for r.byRev[r.next] != nil {
		r.next++
	}
}

// reached returns the revision up to which everything is recorded.
func (r *recorder) reached() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - 1
}

// await waits until everything up to a revision is recorded.
func (r *recorder) await(ctx context.Context, rev int64) error {
	for r.reached() < rev {
		if ctx.Err() != nil {
			return fmt.Errorf("recorded up to revision %d of %d: %w", r.reached(), rev, ctx.Err())
		}
		pause(ctx, 10*time.Millisecond)
	}
	return nil
}

func (r *recorder) truth() (history.Truth, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := history.Truth{First: firstRevision, Last: r.next - 1}
	for rev := int64(firstRevision); rev < r.next; rev++ {
		t.Events = append(t.Events, r.byRev[rev]...)
	}
	return t, r.differ
}

// probe asks a member again and again for a linearizable read and for the renewal of a lease that
// does not exist. It shows which members could have served the clients.
func (r *recorder) probe(ctx context.Context, member int) []history.Probe {
	var list []history.Probe
	for ctx.Err() == nil {
		p := history.Probe{Member: member, Call: r.clock.Now()}
		pctx, cancel := context.WithTimeout(ctx, time.Second)
		p.OK = r.serves(pctx, member) == nil
		cancel()
		p.Return = r.clock.Now()
		list = append(list, p)
		pause(ctx, 200*time.Millisecond)
	}
	return list
}

// absentLease is an id that no lease has: those of the clients are positive.
const absentLease = -1

func (r *recorder) serves(ctx context.Context, member int) error {
	return r.admin.as(ctx, member, func(ctx context.Context, cc *grpc.ClientConn) error {
		if _, err := pb.NewKVClient(cc).Range(ctx, &pb.RangeRequest{Key: []byte(space)}); err != nil {
			return err
		}
		// Only the leader can say that there is no such lease; a follower asks it.
		s, err := pb.NewLeaseClient(cc).LeaseKeepAlive(ctx)
		if err != nil {
			return err
		}
		if err := s.Send(&pb.LeaseKeepAliveRequest{ID: absentLease}); err != nil {
			return err
		}
		_, err = s.Recv()
		return err
	})
}

// lateness measures how late timers of this process fire, and how long a goroutine then waits until
// the others have had their turn: on a busy machine those that a context's end wakes wait for that
// too, and far longer than one that a timer wakes.
func lateness(ctx context.Context, clock history.Clock) history.Lateness {
	const every, noted, turns = 5 * time.Millisecond, 3 * time.Millisecond, 4
	var list history.Lateness
	t := time.NewTimer(every)
	defer t.Stop()
	for due := clock.Now() + every; ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return list
		}
		for range turns {
			runtime.Gosched()
		}
		now := clock.Now()
		if by := now - due; by > noted {
			list = append(list, history.Late{At: now, By: by})
		}
		due = now + every
		t.Reset(every)
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
