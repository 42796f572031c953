package duplex_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/fairlead-go/fairlead/internal/duplex"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// pipe is a stream in memory. Its channels are the server's side.
type pipe struct {
	ctx      context.Context
	sent     chan int
	answers  chan string
	failures chan error // of Recv
	refuse   chan error // of Send
}

func (p *pipe) Member() string { return "m" }

func (p *pipe) Recv() (string, error) {
	select {
	case a := <-p.answers:
		return a, nil
	case err := <-p.failures:
		return "", err
	case <-p.ctx.Done():
		return "", p.ctx.Err()
	}
}

func (p *pipe) Send(q int) error {
	select {
	case p.sent <- q:
		return nil
	case err := <-p.refuse:
		return err
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

type end struct {
	member string
	err    error
}

// rig is a pair with everything that it reports.
type rig struct {
	group *worker.Group
	pair  *duplex.Pair[int, string]
	s     *pipe
	open  chan error // what Open returns

	opened, answered chan string
	ended            chan end
	inEnd            func() // called by Ended, if it is not nil
}

func start(t *testing.T) *rig {
	r := &rig{
		group: worker.New(t.Context()), open: make(chan error, 1),
		s: &pipe{
			sent:     make(chan int),
			answers:  make(chan string),
			failures: make(chan error),
			refuse:   make(chan error),
		},
		opened: make(chan string, 1), answered: make(chan string, 9), ended: make(chan end, 9),
	}
	t.Cleanup(r.group.Stop)
	r.pair = duplex.Start(r.group, duplex.Config[int, string]{
		Open: func(ctx context.Context) (duplex.Stream[int, string], error) {
			r.s.ctx = ctx
			select {
			case err := <-r.open:
				return r.s, err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		Opened:   func(member string) { r.opened <- member },
		Answered: func(a string) { r.answered <- a },
		Ended: func(member string, err error) {
			r.ended <- end{member, err}
			if f := r.inEnd; f != nil {
				r.inEnd = nil
				f()
			}
		},
	})
	return r
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	r := start(t)
	for i := range 3 { // before it is open
		r.pair.Push(i)
	}
	r.open <- nil
	if m := <-r.opened; m != "m" {
		t.Errorf("opened on %q", m)
	}
	var got []int
	for i := range 6 {
		got = append(got, <-r.s.sent)
		r.pair.Push(i + 3) // while the sender is at work, or waits
	}
	if !slices.IsSorted(got) || len(got) != 6 {
		t.Errorf("sent %v", got)
	}
	r.s.answers <- "a"
	r.s.answers <- "b"
	if a, b := <-r.answered, <-r.answered; a != "a" || b != "b" {
		t.Errorf("answers %q, %q", a, b)
	}
}

func TestPushDoesNotWaitForAStuckSend(t *testing.T) {
	r := start(t)
	r.open <- nil
	<-r.opened
	for i := range 1000 { // nobody takes them
		r.pair.Push(i)
	}
	r.s.answers <- "a" // reading does not wait either
	<-r.answered
}

func TestEndIsReportedOnceWithItsReason(t *testing.T) {
	cause := errors.New("broken")
	for name, c := range map[string]struct {
		fail func(*rig)
		want end
	}{
		"not opened":          {func(r *rig) { r.open <- cause }, end{"", cause}},
		"receiving":           {func(r *rig) { r.open <- nil; r.s.failures <- cause }, end{"m", cause}},
		"sending":             {func(r *rig) { r.open <- nil; r.pair.Push(1); r.s.refuse <- cause }, end{"m", cause}},
		"ends without reason": {func(r *rig) { r.open <- nil; r.s.failures <- io.EOF }, end{"m", io.EOF}},
		"receiving knows why": {func(r *rig) {
			r.open <- nil
			r.pair.Push(1)
			r.s.refuse <- io.EOF
			r.s.failures <- cause
		}, end{"m", cause}},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			c.fail(r)
			if got := <-r.ended; got != c.want {
				t.Errorf("ended with %v, want %v", got, c.want)
			}
			r.group.Stop() // all goroutines are gone
			if len(r.ended) > 0 {
				t.Errorf("ended again with %v", <-r.ended)
			}
		})
	}
}

// TestBothSeeTheEnd: the reader sees the end too while the sender still reports it. It is reported
// once.
func TestBothSeeTheEnd(t *testing.T) {
	r := start(t)
	over := make(chan struct{})
	r.inEnd = func() {
		r.s.failures <- errors.New("seen by the reader")
		<-r.s.ctx.Done() // the reader's failure ends the stream
		close(over)
	}
	cause := errors.New("seen by the sender")
	r.open <- nil
	r.pair.Push(1)
	r.s.refuse <- cause
	<-over
	if got, want := <-r.ended, (end{"m", cause}); got != want {
		t.Errorf("ended with %v, want %v", got, want)
	}
	r.group.Stop()
	if len(r.ended) > 0 {
		t.Errorf("ended again with %v", <-r.ended)
	}
}

func TestClosedPairReportsNoEnd(t *testing.T) {
	for name, opened := range map[string]bool{"opening": false, "open": true} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			if opened {
				r.open <- nil
				<-r.opened
				r.pair.Push(1)
			}
			r.pair.Close()
			r.group.Stop()
			if len(r.ended) > 0 {
				t.Errorf("ended with %v", <-r.ended)
			}
		})
	}
}

func TestPairOfAStoppedGroupDoesNothing(t *testing.T) {
	g := worker.New(t.Context())
	g.Stop()
	p := duplex.Start(g, duplex.Config[int, string]{})
	p.Push(1) // goes nowhere, and does no harm
	p.Close()
}
