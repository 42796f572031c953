package lease

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// echoStream answers every renewal at once.
type echoStream struct {
	ctx  context.Context
	reqs chan int64
	resp pb.LeaseKeepAliveResponse
}

func (s *echoStream) Member() string { return "A" }
func (s *echoStream) Send(r *pb.LeaseKeepAliveRequest) error {
	s.reqs <- r.ID
	return nil
}

func (s *echoStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	select {
	case id := <-s.reqs:
		s.resp.ID, s.resp.TTL = id, 60
		return &s.resp, nil
	case <-s.ctx.Done():
		return nil, io.EOF
	}
}

type countSink struct{ renewed chan struct{} }

func (s *countSink) Renewed(*pb.LeaseKeepAliveResponse) {
	if s.renewed != nil {
		s.renewed <- struct{}{}
	}
}
func (s *countSink) AtRisk() {}

func (s *countSink) Ended(Reason, error) {}

func echoEngine() *Engine {
	return New(Config{
		Open: func(ctx context.Context, _ []string) (Stream, error) {
			return &echoStream{ctx: ctx, reqs: make(chan int64, maxOutstanding)}, nil
		},
		Judge: func(error) Verdict { return Retry },
	})
}

// BenchmarkRenew measures the core's cost of one renewal, from the timer to the
// answer, among 10,000 leases.
func BenchmarkRenew(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("leases=%d", n), func(b *testing.B) {
			c := newCore(DefaultFirstAnswer, func() float64 { return 0.5 })
			now := time.Duration(0)
			resp := &pb.LeaseKeepAliveResponse{TTL: 60}
			handle := func() int {
				done := 0
				for i := 0; i < len(c.acts); i++ {
					switch a := c.acts[i]; a.kind {
					case actOpen:
						c.opened(now, a.st, "A")
					case actSend:
						resp.ID = a.id
						c.answer(now, a.st, resp)
						done++
					}
				}
				c.acts = c.acts[:0]
				return done
			}
			for id := range n {
				now += 20 * time.Second / time.Duration(n)
				c.keepAlive(now, int64(id), &keep{})
				handle()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; {
				now = max(now, c.armed)
				c.tick(now)
				done += handle()
			}
		})
	}
}

// BenchmarkIdleLease reports the memory that one kept lease takes between two
// renewals, its small sink included: with a context that cannot end, and with a
// context of its own, whose memory is then counted too.
func BenchmarkIdleLease(b *testing.B) {
	const n = 10_000
	measure := func(b *testing.B, ctx func() context.Context) {
		for range b.N {
			e := echoEngine()
			renewed := make(chan struct{}, n)
			before, goroutines := heapBytes(), runtime.NumGoroutine()
			for id := range int64(n) {
				if err := e.KeepAlive(ctx(), id, &countSink{renewed}); err != nil {
					b.Fatal(err)
				}
			}
			for range n {
				<-renewed
			}
			b.ReportMetric(float64(heapBytes()-before)/n, "B/lease")
			b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/lease")
			e.Close()
		}
	}
	b.Run("background", func(b *testing.B) { measure(b, context.Background) })
	b.Run("cancellable", func(b *testing.B) {
		parent, cancel := context.WithCancel(b.Context())
		defer cancel()
		var stops []context.CancelFunc
		defer func() {
			for _, stop := range stops {
				stop()
			}
		}()
		measure(b, func() context.Context {
			ctx, stop := context.WithCancel(parent)
			stops = append(stops, stop)
			return ctx
		})
	})
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
