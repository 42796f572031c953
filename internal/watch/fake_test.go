package watch

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// fakeServer hands out streams that live in memory. The test plays the server.
type fakeServer struct {
	opened chan *fakeStream // what Open returned, in order
}

func newFakeServer() *fakeServer { return &fakeServer{opened: make(chan *fakeStream, 1<<16)} }

var errReset = errors.New("reset")

// fakeStream is one stream; sends never block unless stuck is set.
type fakeStream struct {
	ctx    context.Context
	o      OpenOptions
	member string
	stuck  bool
	reqs   chan *pb.WatchRequest
	resps  chan *pb.WatchResponse
	broken chan error
}

func newFakeStream(ctx context.Context, o OpenOptions) *fakeStream {
	return &fakeStream{
		ctx:    ctx,
		o:      o,
		member: "A",
		reqs:   make(chan *pb.WatchRequest, 1<<16),
		resps:  make(chan *pb.WatchResponse, 1<<10),
		broken: make(chan error, 1),
	}
}

func (s *fakeServer) open(ctx context.Context, o OpenOptions) (Stream, error) {
	st := newFakeStream(ctx, o)
	s.opened <- st
	return st, nil
}

func (s *fakeStream) Member() string { return s.member }

func (s *fakeStream) Send(r *pb.WatchRequest) error {
	if s.stuck {
		<-s.ctx.Done()
	}
	if s.ctx.Err() != nil {
		return io.EOF
	}
	s.reqs <- r
	return nil
}

func (s *fakeStream) Recv() (*pb.WatchResponse, error) {
	select { // what was sent before the break arrives first
	case r := <-s.resps:
		return r, nil
	default:
	}
	select {
	case r := <-s.resps:
		return r, nil
	case err := <-s.broken:
		return nil, err
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// create awaits a create request and returns it.
func (s *fakeStream) create(t *testing.T) *pb.WatchCreateRequest {
	t.Helper()
	for {
		select {
		case r := <-s.reqs:
			if q := r.GetCreateRequest(); q != nil {
				return q
			}
		case <-s.ctx.Done():
			t.Fatal("stream ended while a create was awaited")
		}
	}
}

// confirm awaits a create request and confirms it at rev.
func (s *fakeStream) confirm(t *testing.T, rev int64) *pb.WatchCreateRequest {
	t.Helper()
	q := s.create(t)
	s.resps <- &pb.WatchResponse{Header: head(rev), WatchId: q.WatchId, Created: true}
	return q
}

func (s *fakeStream) events(id int64, revs ...int64) {
	resp := &pb.WatchResponse{Header: head(revs[len(revs)-1]), WatchId: id}
	for _, r := range revs {
		resp.Events = append(resp.Events,
			&mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), Value: make([]byte, 1000), ModRevision: r}})
	}
	s.resps <- resp
}

func head(rev int64) *pb.ResponseHeader { return &pb.ResponseHeader{ClusterId: 7, Revision: rev} }

// fakeSink is a consumer with a channel, and checks the contract.
type fakeSink struct {
	t    *testing.T
	ch   chan Delivery
	busy atomic.Bool
	end  sync.Once
}

func newFakeSink(t *testing.T, size int) *fakeSink {
	return &fakeSink{t: t, ch: make(chan Delivery, size)}
}

func (s *fakeSink) enter() func() {
	if !s.busy.CompareAndSwap(false, true) {
		s.t.Error("two calls to a sink at a time")
	}
	return func() { s.busy.Store(false) }
}

func (s *fakeSink) TryDeliver(d Delivery) bool {
	defer s.enter()()
	select {
	case s.ch <- d:
		return true
	default:
		return false
	}
}

func (s *fakeSink) Deliver(d Delivery, stop <-chan struct{}) bool {
	defer s.enter()()
	select {
	case s.ch <- d:
		return true
	case <-stop:
		return false
	}
}

func (s *fakeSink) End() {
	defer s.enter()()
	first := false
	s.end.Do(func() { first = true; close(s.ch) })
	if !first {
		s.t.Error("a sink ended twice")
	}
}

// wantEvents takes deliveries until the revisions are complete.
func (s *fakeSink) wantEvents(revs ...int64) {
	s.t.Helper()
	for len(revs) > 0 {
		d, ok := <-s.ch
		if !ok {
			s.t.Fatalf("ended, still waiting for %v", revs)
		}
		if d.Err != nil {
			s.t.Fatalf("got %v, still waiting for %v", d.Err, revs)
		}
		for _, ev := range d.Resp.Events {
			if len(revs) == 0 || revision(ev) != revs[0] {
				s.t.Fatalf("got revision %d, want %v", revision(ev), revs)
			}
			revs = revs[1:]
		}
	}
}

func (s *fakeSink) wantEnd() {
	s.t.Helper()
	if d, ok := <-s.ch; ok {
		s.t.Fatalf("got %s, want the end", show(d.Resp, d.Err))
	}
}

// pass lets d of the bubble's time go by.
func pass(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
	synctest.Wait()
}

var (
	errDenied   = errors.New("denied")
	errNoLeader = errors.New("no leader")
	errToken    = errors.New("token expired")
)

func judgeFake(err error) Verdict {
	switch {
	case errors.Is(err, errDenied):
		return Fatal
	case errors.Is(err, errNoLeader):
		return NoLeader
	}
	return Retry
}

func testConfig(s *fakeServer) Config {
	return Config{
		Open:  s.open,
		Judge: judgeFake,
		Cancelled: func(reason string) (Verdict, error) {
			for _, err := range []error{errDenied, errNoLeader, errToken} {
				if err.Error() == reason {
					return judgeFake(err), err
				}
			}
			return Retry, nil
		},
		Members: func() int { return 3 },
	}
}

// start runs f in a bubble with a fake clock, and then closes the engine. Close itself must leave
// no goroutine: that is checked here. The bubble fails the test if one is left at its end.
func start(t *testing.T, change func(*Config), f func(t *testing.T, e *Engine, s *fakeServer)) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer()
		cfg := testConfig(s)
		if change != nil {
			change(&cfg)
		}
		e := New(cfg)
		defer e.Close() // also when f fails
		f(t, e, s)
		e.Close()
		synctest.Wait() // for those that have said that they are done, and are about to end
		checkNoGoroutines(t)
	})
}

// request is a watch of key k.
func request(rev int64) Request {
	return Request{Create: &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: rev}}
}

// begin calls Watch in a goroutine; the result arrives in the channel.
func begin(ctx context.Context, e *Engine, r Request, s Sink) <-chan error {
	done := make(chan error, 1)
	go func() { done <- e.Watch(ctx, r, s) }()
	return done
}
