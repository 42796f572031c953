package watch

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// checkNoGoroutines fails if a goroutine runs a method of an Engine, those apart that
// a test itself has called and that may still be on their way back.
func checkNoGoroutines(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for g := range bytes.SplitSeq(buf, []byte("\n\n")) {
		if bytes.Contains(g, []byte("watch.(*Engine)")) && !bytes.Contains(g, []byte("testing.tRunner")) &&
			!bytes.Contains(g, []byte("watch.begin")) {
			t.Errorf("a goroutine is left:\n%s", g)
		}
	}
}

func TestResumeAfterBreak(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		sink := newFakeSink(t, 1)
		done := begin(t.Context(), e, request(0), sink)
		st := <-s.opened
		if !st.o.RequireLeader {
			t.Error("stream without RequireLeader")
		}
		st.confirm(t, 10)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		st.events(1, 11, 12)
		st.events(1, 13)
		st.broken <- errReset
		sink.wantEvents(11, 12, 13)
		st = <-s.opened
		if len(st.o.Avoid) != 1 || st.o.Avoid[0] != "A" {
			t.Errorf("avoids %v", st.o.Avoid)
		}
		if q := st.confirm(t, 13); q.StartRevision != 14 {
			t.Errorf("resumed at %d", q.StartRevision)
		}
		st.events(1, 13, 14)
		sink.wantEvents(14)
		e.Close()
		sink.wantEnd()
	})
}

func TestRefusedCreate(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		sink := newFakeSink(t, 0) // nobody takes the last delivery yet
		done := begin(t.Context(), e, request(0), sink)
		st := <-s.opened
		st.create(t)
		st.resps <- &pb.WatchResponse{WatchId: -1, Created: true, Canceled: true, CancelReason: "denied"}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if d := <-sink.ch; !errors.Is(d.Err, errDenied) || !d.Resp.Canceled {
			t.Errorf("got %s", show(d.Resp, d.Err))
		}
		sink.wantEnd()
	})
}

func TestContextEnds(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		sink := newFakeSink(t, 1)
		if err := e.Watch(ctx, request(0), sink); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
		sink.wantEnd()

		// While Watch blocks, before there is an answer.
		ctx, cancel = context.WithCancel(t.Context())
		sink = newFakeSink(t, 1)
		done := begin(ctx, e, request(0), sink)
		st := <-s.opened
		q := st.create(t)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("while the create is on its way: %v", err)
		}
		sink.wantEnd()
		st.resps <- &pb.WatchResponse{Header: head(5), WatchId: q.WatchId, Created: true}

		// Later: the server gets a cancel request, the channel ends.
		if r := <-st.reqs; r.GetCancelRequest().GetWatchId() != q.WatchId {
			t.Errorf("the server is sent %v, want the cancel of the first", r)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sink = newFakeSink(t, 1)
		done = begin(ctx, e, request(0), sink)
		st.confirm(t, 10)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		sink.wantEnd()
		if r := <-st.reqs; r.GetCancelRequest().GetWatchId() != 2 {
			t.Errorf("the server is sent %v, want a cancel", r)
		}
		// And the stream nobody uses is closed.
		pass(idleAfter)
		if st.ctx.Err() == nil {
			t.Error("an idle stream stays open")
		}
	})
}

func TestContextEndsWithABlockedConsumer(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		ctx, cancel := context.WithCancel(t.Context())
		sink := newFakeSink(t, 0)
		begin(ctx, e, request(1), sink)
		st := <-s.opened
		st.confirm(t, 10)
		st.events(1, 2)
		st.events(1, 3)
		synctest.Wait()
		cancel()
		synctest.Wait() // the consumer was not there when the context ended
		sink.wantEnd()
	})
}

func TestCloseWithBlockedSinks(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		var sinks []*fakeSink
		for range 10 {
			sinks = append(sinks, newFakeSink(t, 0))
			begin(t.Context(), e, request(1), sinks[len(sinks)-1])
		}
		st := <-s.opened
		for range sinks {
			st.confirm(t, 10)
		}
		for i := range sinks {
			st.events(int64(i+1), 2)
		}
		// One more that is not answered, in a group whose Open blocks.
		late := newFakeSink(t, 0)
		done := begin(t.Context(), e, Request{Create: &pb.WatchCreateRequest{}, Group: "blocked"}, late)
		synctest.Wait()
		closed := make(chan struct{})
		go func() { e.Close(); close(closed) }()
		e.Close()
		<-closed
		for _, sink := range append(sinks, late) {
			sink.wantEnd()
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("Watch returned %v", err)
		}
		sink := newFakeSink(t, 0)
		if err := e.Watch(t.Context(), request(0), sink); !errors.Is(err, ErrClosed) {
			t.Errorf("Watch after Close returned %v", err)
		}
		sink.wantEnd()
		if err := e.RequestProgress(t.Context(), ""); !errors.Is(err, ErrClosed) {
			t.Errorf("RequestProgress after Close returned %v", err)
		}
	})
}

func TestCloseWhileOpenAndSendBlock(t *testing.T) {
	block := func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context, o OpenOptions) (Stream, error) {
			if o.Group == "open" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			st, err := open(ctx, o)
			st.(*fakeStream).stuck = true
			return st, err
		}
	}
	start(t, block, func(t *testing.T, e *Engine, s *fakeServer) {
		a, b := newFakeSink(t, 0), newFakeSink(t, 0)
		begin(t.Context(), e, Request{Create: &pb.WatchCreateRequest{}, Group: "open"}, a)
		begin(t.Context(), e, Request{Create: &pb.WatchCreateRequest{}, Group: "send"}, b)
		synctest.Wait()
		e.Close()
		a.wantEnd()
		b.wantEnd()
	})
}

func TestSlowConsumerIsParkedAndResumes(t *testing.T) {
	limit := func(c *Config) { c.BufferLimit = 10_000 }
	start(t, limit, func(t *testing.T, e *Engine, s *fakeServer) {
		slow, fast := newFakeSink(t, 0), newFakeSink(t, 100)
		begin(t.Context(), e, request(1), slow)
		st := <-s.opened
		st.confirm(t, 1)
		begin(t.Context(), e, request(1), fast)
		st.confirm(t, 1)
		want := []int64{}
		rev := int64(1)
		for len(st.reqs) == 0 { // until the slow one is cancelled
			rev++
			st.events(1, rev)
			st.events(2, rev)
			fast.wantEvents(rev)
			want = append(want, rev)
			synctest.Wait()
		}
		if r := <-st.reqs; r.GetCancelRequest().GetWatchId() != 1 {
			t.Fatalf("the server is sent %v, want a cancel of the slow one", r)
		}
		slow.wantEvents(want...)
		if q := st.confirm(t, rev); q.StartRevision != rev+1 {
			t.Errorf("resumed at %d, want %d", q.StartRevision, rev+1)
		}
		st.events(3, rev+1)
		slow.wantEvents(rev + 1)
	})
}

func TestBurstOfResumes(t *testing.T) {
	const n = 1000
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		var done []<-chan error
		for range n {
			done = append(done, begin(t.Context(), e, request(0), newFakeSink(t, 1)))
		}
		st := <-s.opened
		for range n {
			st.confirm(t, 10)
		}
		for _, d := range done {
			if err := <-d; err != nil {
				t.Fatal(err)
			}
		}
		st.broken <- errReset
		st = <-s.opened
		synctest.Wait()
		if len(st.reqs) != 1 {
			t.Fatalf("%d creates before the first answer, want 1", len(st.reqs))
		}
		st.confirm(t, 10)
		synctest.Wait()
		if len(st.reqs) != n-1 {
			t.Fatalf("%d creates after the first answer, want %d", len(st.reqs), n-1)
		}
	})
}

func TestExpiredToken(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		sink := newFakeSink(t, 1)
		done := begin(t.Context(), e, request(0), sink)
		st := <-s.opened
		st.create(t)
		st.resps <- &pb.WatchResponse{WatchId: -1, Created: true, Canceled: true, CancelReason: "token expired"}
		next := <-s.opened
		if st.ctx.Err() == nil {
			t.Error("the stream with the expired token stays")
		}
		if len(next.o.Avoid) != 0 {
			t.Errorf("avoids %v: the member is not to blame", next.o.Avoid)
		}
		next.confirm(t, 10)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestNoLeaderAnywhere(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		r := request(0)
		r.RequireLeader = true
		sink := newFakeSink(t, 1)
		done := begin(t.Context(), e, r, sink)
		began := time.Now()
		for {
			select {
			case st := <-s.opened:
				st.broken <- errNoLeader
				continue
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
			}
			break
		}
		if d := <-sink.ch; !errors.Is(d.Err, errNoLeader) {
			t.Errorf("got %s", show(d.Resp, d.Err))
		}
		sink.wantEnd()
		if took := time.Since(began); took < leaderGrace || took > leaderGrace+time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestLostHistory(t *testing.T) {
	confirm := func(c *Config) {
		c.Confirm = func(context.Context, string, Check) (Finding, error) {
			return Finding{Revision: 5, ClusterID: 7}, nil
		}
	}
	start(t, confirm, func(t *testing.T, e *Engine, s *fakeServer) {
		sink := newFakeSink(t, 1)
		begin(t.Context(), e, request(0), sink)
		st := <-s.opened
		st.confirm(t, 10)
		synctest.Wait()
		st.broken <- errReset
		<-s.opened
		d := <-sink.ch
		var lost *HistoryLostError
		if !errors.Is(d.Err, ErrHistoryLost) || !errors.As(d.Err, &lost) || lost.LastRevision != 10 ||
			lost.NowRevision != 5 {
			t.Errorf("got %s", show(d.Resp, d.Err))
		}
		sink.wantEnd()
	})
}

func TestRequestProgress(t *testing.T) {
	start(t, nil, func(t *testing.T, e *Engine, s *fakeServer) {
		sink := newFakeSink(t, 1)
		done := begin(t.Context(), e, request(0), sink)
		st := <-s.opened
		st.confirm(t, 10)
		<-done
		if err := e.RequestProgress(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if r := <-st.reqs; r.GetProgressRequest() == nil {
			t.Fatalf("the server is sent %v", r)
		}
		st.resps <- &pb.WatchResponse{WatchId: -1, Header: head(12)}
		if d := <-sink.ch; d.Resp.Header.Revision != 12 || len(d.Resp.Events) != 0 {
			t.Errorf("got %s", show(d.Resp, d.Err))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.RequestProgress(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOpenFailsForAWhile(t *testing.T) {
	tries := 0
	refuse := func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context, o OpenOptions) (Stream, error) {
			if tries++; tries < 50 {
				return nil, errReset
			}
			return open(ctx, o)
		}
	}
	start(t, refuse, func(t *testing.T, e *Engine, s *fakeServer) {
		began := time.Now()
		begin(t.Context(), e, request(0), newFakeSink(t, 1))
		(<-s.opened).confirm(t, 10)
		if took := time.Since(began); took < 10*time.Second || took > 150*time.Second {
			t.Errorf("50 tries took %v", took)
		}
	})
}
