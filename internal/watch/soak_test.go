package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// liveServer answers by itself: it has a history of one event per revision that
// grows, and serves every watcher of every stream from its position.
type liveServer struct {
	mu      sync.Mutex
	rev     int64
	streams map[*fakeStream]map[int64]int64 // next revision by watcher id
	wg      sync.WaitGroup
}

func newLiveServer() *liveServer {
	return &liveServer{streams: map[*fakeStream]map[int64]int64{}}
}

func (s *liveServer) open(ctx context.Context, o OpenOptions) (Stream, error) {
	st := newFakeStream(ctx, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[st] = map[int64]int64{}
	s.wg.Go(func() { s.serve(st) })
	return st, nil
}

func (s *liveServer) serve(st *fakeStream) {
	for {
		select {
		case r := <-st.reqs:
			s.mu.Lock()
			if q := r.GetCreateRequest(); q != nil {
				start := q.StartRevision
				if start == 0 {
					start = s.rev + 1
				}
				s.send(st, &pb.WatchResponse{WatchId: q.WatchId, Created: true, Header: head(s.rev)})
				s.streams[st][q.WatchId] = start
				s.catchUp(st, q.WatchId)
			} else if q := r.GetCancelRequest(); q != nil {
				delete(s.streams[st], q.WatchId)
				s.send(st, &pb.WatchResponse{WatchId: q.WatchId, Canceled: true, Header: head(s.rev)})
			}
			s.mu.Unlock()
		case <-st.ctx.Done():
			s.mu.Lock()
			delete(s.streams, st)
			s.mu.Unlock()
			return
		}
	}
}

// send and catchUp hold mu.
func (s *liveServer) send(st *fakeStream, resp *pb.WatchResponse) {
	select {
	case st.resps <- resp:
	case <-st.ctx.Done():
	}
}

func (s *liveServer) catchUp(st *fakeStream, id int64) {
	for next := s.streams[st][id]; next <= s.rev; {
		resp := &pb.WatchResponse{WatchId: id, Header: head(s.rev)}
		for ; next <= s.rev && len(resp.Events) < 10; next++ {
			resp.Events = append(resp.Events, liveEvent(next))
		}
		s.streams[st][id] = next
		s.send(st, resp)
	}
}

func liveEvent(rev int64) *mvccpb.Event {
	return &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), Value: make([]byte, 200), ModRevision: rev}}
}

func (s *liveServer) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rev++
	for st, ws := range s.streams {
		for id := range ws {
			s.catchUp(st, id)
		}
	}
}

func (s *liveServer) breakOne() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		select {
		case st.broken <- errReset:
		default:
		}
		return
	}
}

// Many watchers, slow and fast, over streams that keep breaking: each gets every
// revision once and in order.
func TestSoak(t *testing.T) {
	const watchers, revisions = 40, 1500
	limit := func(c *Config) { c.BufferLimit = 50_000 }
	start(t, limit, func(t *testing.T, e *Engine, _ *fakeServer) {
		s := newLiveServer()
		e.cfg.Open = s.open
		e.cfg.Confirm = func(_ context.Context, _ string, q Check) (Finding, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			f := Finding{Revision: s.rev, ClusterID: 7}
			for _, ch := range q.Changes {
				f.Different = f.Different || !ch.SameAs(liveEvent(q.Revision).Kv)
			}
			return f, nil
		}
		var consumers sync.WaitGroup
		for i := range watchers {
			sink := newFakeSink(t, i%3)
			r := request(1)
			r.Group = []string{"", "g"}[i%2]
			if err := <-begin(t.Context(), e, r, sink); err != nil {
				t.Fatal(err)
			}
			consumers.Go(func() {
				want := int64(1)
				for want <= revisions {
					d, ok := <-sink.ch
					if !ok || d.Err != nil {
						t.Errorf("watcher %d ended at %d", i, want)
						return
					}
					for _, ev := range d.Resp.Events {
						if revision(ev) != want {
							t.Errorf("watcher %d got %d, want %d", i, revision(ev), want)
							return
						}
						want++
					}
					if i%10 == 0 { // a slow one
						pass2(time.Duration(rand.IntN(20)) * time.Millisecond)
					}
				}
			})
		}
		// Watchers that come and go meanwhile.
		quit := make(chan struct{})
		var others sync.WaitGroup
		for range 4 {
			others.Go(func() {
				for {
					select {
					case <-quit:
						return
					default:
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(40))*time.Millisecond)
					sink := newFakeSink(t, rand.IntN(2))
					if err := e.Watch(ctx, request(0), sink); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Watch: %v", err)
					}
					for range sink.ch {
					}
					cancel()
				}
			})
		}
		for i := range revisions {
			s.write()
			if i%50 == 49 {
				s.breakOne()
			}
			pass2(time.Duration(rand.IntN(2)) * time.Millisecond)
		}
		consumers.Wait()
		close(quit)
		others.Wait()
		e.Close()
		s.wg.Wait()
	})
}

// pass2 is pass for several goroutines at a time.
func pass2(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}
