package lease

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

var (
	errReset  = errors.New("reset")
	errDenied = errors.New("denied")
)

// fakeServer has members that answer, keep silent, or refuse. Its streams live in
// memory.
type fakeServer struct {
	mu      sync.Mutex
	members []string
	mode    map[string]string // "" answers, "silent", "refuse", "gone" (streams break)
	ttl     map[int64]int64
	each    time.Duration // time per renewal on a stream
	opens   int
	renewed map[string]int // renewals handled by member
}

func newFakeServer(members ...string) *fakeServer {
	return &fakeServer{members: members, mode: map[string]string{}, ttl: map[int64]int64{}, renewed: map[string]int{}}
}

func (s *fakeServer) set(member, mode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode[member] = mode
}

// open picks the first member that is not to be avoided, or else the first.
func (s *fakeServer) open(ctx context.Context, avoid []string) (Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens++
	pick := ""
	for _, m := range s.members {
		bad := s.mode[m] == "refuse"
		for _, a := range avoid {
			bad = bad || a == m
		}
		if !bad {
			pick = m
			break
		}
	}
	for _, m := range s.members { // a preference only
		if pick == "" && s.mode[m] != "refuse" {
			pick = m
		}
	}
	if pick == "" {
		return nil, errReset
	}
	return &fakeStream{ctx: ctx, s: s, member: pick, reqs: make(chan int64, 1<<16)}, nil
}

type fakeStream struct {
	ctx    context.Context
	s      *fakeServer
	member string
	reqs   chan int64
}

func (st *fakeStream) Member() string { return st.member }

func (st *fakeStream) Send(r *pb.LeaseKeepAliveRequest) error {
	if st.ctx.Err() != nil {
		return io.EOF
	}
	st.reqs <- r.ID
	return nil
}

func (st *fakeStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	select {
	case id := <-st.reqs:
		st.s.mu.Lock()
		mode, ttl, each := st.s.mode[st.member], st.s.ttl[id], st.s.each
		st.s.renewed[st.member]++
		st.s.mu.Unlock()
		if each > 0 {
			wait(each)
		}
		switch {
		case mode == "silent":
			<-st.ctx.Done()
			return nil, st.ctx.Err()
		case mode == "gone", mode == "refuse":
			return nil, errReset
		case ttl < -1:
			return nil, errDenied
		}
		return &pb.LeaseKeepAliveResponse{ID: id, TTL: ttl}, nil
	case <-st.ctx.Done():
		return nil, st.ctx.Err()
	}
}

// wait lets d of the bubble's time go by.
func wait(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

// fakeSink records the calls of the engine, and checks the contract.
type fakeSink struct {
	t       *testing.T
	mu      sync.Mutex
	renewed int
	done    chan struct{}
	reason  Reason
	err     error
	at      time.Time
}

func newFakeSink(t *testing.T) *fakeSink { return &fakeSink{t: t, done: make(chan struct{})} }

func (s *fakeSink) Renewed(*pb.LeaseKeepAliveResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed++
	if s.reason != 0 {
		s.t.Error("renewed after the end")
	}
}

func (s *fakeSink) AtRisk() {}

func (s *fakeSink) Ended(r Reason, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != 0 {
		s.t.Error("ended twice")
		return
	}
	s.reason, s.err, s.at = r, err, time.Now()
	close(s.done)
}

func (s *fakeSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed
}

func (s *fakeSink) wantEnd(r Reason) {
	s.t.Helper()
	<-s.done
	if s.reason != r {
		s.t.Errorf("ended: %v (%v), want %v", s.reason, s.err, r)
	}
}

func (s *fakeSink) wantAlive() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != 0 {
		s.t.Errorf("ended: %v (%v), want it alive", s.reason, s.err)
	}
}

// start runs f in a bubble with a fake clock; Close must have left no goroutine.
func start(t *testing.T, s *fakeServer, f func(t *testing.T, e *Engine)) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Config{
			Open: s.open,
			Judge: func(err error) Verdict {
				if errors.Is(err, errDenied) {
					return Fatal
				}
				return Retry
			},
		})
		defer e.Close() // also when f fails
		f(t, e)
		e.Close()
		synctest.Wait() // for those that have said that they are done, and are about to end
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		for g := range bytes.SplitSeq(buf, []byte("\n\n")) {
			if bytes.Contains(g, []byte("lease.(*Engine)")) && !bytes.Contains(g, []byte("testing.tRunner")) {
				t.Errorf("a goroutine is left:\n%s", g)
			}
		}
	})
}
