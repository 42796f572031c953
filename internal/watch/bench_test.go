package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// benchStream confirms every create and then returns events, prepared ahead, as
// fast as the engine takes them.
type benchStream struct {
	ctx      context.Context
	creates  chan int64
	watchers int
	total    int // responses to return; 0: none, Recv blocks
	id       int
	rev      int64
	resp     pb.WatchResponse
	evs      []mvccpb.Event
	kvs      []mvccpb.KeyValue
	done     chan struct{}
	started  chan struct{}
}

func (s *benchStream) Member() string { return "A" }
func (s *benchStream) Send(r *pb.WatchRequest) error {
	if q := r.GetCreateRequest(); q != nil {
		s.creates <- q.WatchId
	}
	return nil
}

func (s *benchStream) Recv() (*pb.WatchResponse, error) {
	if s.id < s.watchers {
		select {
		case id := <-s.creates:
			s.id++
			return &pb.WatchResponse{Header: head(10), WatchId: id, Created: true}, nil
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
	if s.total > 0 {
		select {
		case <-s.started:
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
	if s.rev == int64(s.total) {
		if s.done != nil {
			close(s.done)
		}
		<-s.ctx.Done()
		return nil, io.EOF
	}
	s.rev++
	s.resp.WatchId = s.rev%int64(s.watchers) + 1
	for i := range s.kvs {
		s.kvs[i].ModRevision = s.rev + 10
	}
	return &s.resp, nil
}

type countSink struct{ events int }

func (s *countSink) TryDeliver(d Delivery) bool {
	s.events += len(d.Resp.Events)
	return true
}
func (s *countSink) Deliver(d Delivery, _ <-chan struct{}) bool { return s.TryDeliver(d) }
func (s *countSink) End()                                       {}

func benchEngine(st *benchStream) *Engine {
	return New(Config{
		Open: func(ctx context.Context, _ OpenOptions) (Stream, error) {
			st.ctx = ctx
			return st, nil
		},
		Judge:     func(error) Verdict { return Retry },
		Cancelled: func(s string) (Verdict, error) { return Retry, errors.New(s) },
	})
}

func watchAll(e *Engine, n int, ctx func() context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			r := Request{Create: &pb.WatchCreateRequest{Key: fmt.Appendf(nil, "key/%08d", i)}}
			if err := e.Watch(ctx(), r, &countSink{}); err != nil {
				panic(err) // a benchmark helper; b.Fatal may not be called here
			}
			<-slots
		})
	}
	wg.Wait()
}

// BenchmarkDispatch measures what the engine itself costs per response, with the
// messages prepared ahead.
func BenchmarkDispatch(b *testing.B) {
	for _, watchers := range []int{1, 1000} {
		for _, events := range []int{1, 10} {
			b.Run(fmt.Sprintf("watchers=%d/events=%d", watchers, events), func(b *testing.B) {
				st := &benchStream{
					creates:  make(chan int64, watchers),
					watchers: watchers,
					total:    b.N,
					done:     make(chan struct{}),
					started:  make(chan struct{}),
				}
				st.resp.Header = head(1 << 40)
				st.kvs = make([]mvccpb.KeyValue, events)
				st.evs = make([]mvccpb.Event, events)
				for i := range st.evs {
					st.evs[i].Kv = &st.kvs[i]
					st.resp.Events = append(st.resp.Events, &st.evs[i])
				}
				e := benchEngine(st)
				watchAll(e, watchers, context.Background)
				b.ReportAllocs()
				b.ResetTimer()
				close(st.started)
				<-st.done
				b.StopTimer()
				b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
				e.Close()
			})
		}
	}
}

// BenchmarkIdleWatcher reports the memory that one idle watcher takes, its small
// sink included: with a context that cannot end, and with a context of its own,
// whose memory is then counted too.
func BenchmarkIdleWatcher(b *testing.B) {
	const n = 10_000
	measure := func(b *testing.B, ctx func() context.Context) {
		for range b.N {
			st := &benchStream{creates: make(chan int64, n), watchers: n + 1}
			e := benchEngine(st)
			watchAll(e, 1, context.Background)
			before, goroutines := heap(), runtime.NumGoroutine()
			watchAll(e, n, ctx)
			b.ReportMetric(float64(heap()-before)/n, "B/watcher")
			b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/watcher")
			e.Close()
		}
	}
	b.Run("background", func(b *testing.B) { measure(b, context.Background) })
	b.Run("cancellable", func(b *testing.B) {
		parent, cancel := context.WithCancel(b.Context())
		defer cancel()
		var mu sync.Mutex
		var stops []context.CancelFunc
		defer func() {
			for _, stop := range stops {
				stop()
			}
		}()
		measure(b, func() context.Context {
			ctx, stop := context.WithCancel(parent)
			mu.Lock()
			stops = append(stops, stop)
			mu.Unlock()
			return ctx
		})
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
