package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeptAliveAndExpired(t *testing.T) {
	s := newFakeServer("A")
	s.ttl[1] = 9
	start(t, s, func(t *testing.T, e *Engine) {
		sink := newFakeSink(t)
		if err := e.KeepAlive(t.Context(), 1, sink); err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		sink.wantAlive()
		if n := sink.count(); n < 20 || n > 24 { // every 2.7 to 3 s
			t.Errorf("%d renewals in a minute", n)
		}
		s.mu.Lock()
		s.ttl[1] = -1
		s.mu.Unlock()
		sink.wantEnd(Expired)
	})
}

func TestSilentMembersOneAfterTheOther(t *testing.T) {
	s := newFakeServer("A", "B", "C")
	s.ttl[1] = 3
	start(t, s, func(t *testing.T, e *Engine) {
		sink := newFakeSink(t)
		e.KeepAlive(t.Context(), 1, sink)
		wait(2 * time.Second)
		s.set("A", "silent")
		s.set("B", "silent")
		wait(20 * time.Second)
		sink.wantAlive()
		s.set("A", "")
		s.set("C", "silent")
		wait(20 * time.Second)
		sink.wantAlive()
	})
}

func TestLossIsReportedAtTheDeadline(t *testing.T) {
	for _, mode := range []string{"silent", "gone", "refuse"} {
		t.Run(mode, func(t *testing.T) {
			s := newFakeServer("A", "B", "C")
			s.ttl[1] = 5
			start(t, s, func(t *testing.T, e *Engine) {
				sink := newFakeSink(t)
				sent := time.Now() // answers take no time here
				e.KeepAlive(t.Context(), 1, sink)
				synctest.Wait()
				for _, m := range s.members {
					s.set(m, mode)
				}
				sink.wantEnd(Unrenewed)
				if took := sink.at.Sub(sent); took > 5*time.Second || took < 5*time.Second-lossMargin {
					t.Errorf("reported after %v", took)
				}
				if s.opens > 60 {
					t.Errorf("%d streams were opened in 5 s", s.opens)
				}
			})
		})
	}
}

func TestHeldUntilTheLossIsReported(t *testing.T) {
	s := newFakeServer("A")
	s.ttl[1] = 9
	start(t, s, func(t *testing.T, e *Engine) {
		want := func(what string, until time.Time) {
			t.Helper()
			got, ok := e.HeldUntil(1)
			if ok != !until.IsZero() || ok && !got.Equal(until) {
				t.Errorf("%s: %v, %v; want %v", what, got, ok, until)
			}
		}
		want("not kept", time.Time{})
		s.set("A", "silent")
		sink := newFakeSink(t)
		e.KeepAlive(t.Context(), 1, sink)
		wait(time.Second)
		want("never answered", time.Time{})
		sink.wantEnd(Unrenewed)

		s.set("A", "")
		sink = newFakeSink(t)
		sent := time.Now() // answers take no time here
		e.KeepAlive(t.Context(), 1, sink)
		wait(time.Second)
		want("answered", sent.Add(9*time.Second-lossMargin))
		s.set("A", "silent")
		wait(5 * time.Second)
		until, _ := e.HeldUntil(1)
		want("not answered any more", until)
		sink.wantEnd(Unrenewed)
		if !sink.at.Equal(until) {
			t.Errorf("lost at %v, held until %v", sink.at, until)
		}
		want("lost", time.Time{})
	})
}

// TestSuspended: the monotonic clock stands still while a machine sleeps. After that the client
// does not claim a lease that the server has let expire. If only the wall clock was set, it loses
// none.
func TestSuspended(t *testing.T) {
	s := newFakeServer("A")
	s.ttl[1], s.ttl[2] = 60, 60
	start(t, s, func(t *testing.T, e *Engine) {
		var ahead atomic.Int64
		e.mu.Lock()
		e.wall = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		e.mu.Unlock()
		gone, lives := newFakeSink(t), newFakeSink(t)
		e.KeepAlive(t.Context(), 1, gone)
		e.KeepAlive(t.Context(), 2, lives)
		wait(5 * time.Second)
		s.mu.Lock()
		s.ttl[1] = 0
		s.mu.Unlock()
		ahead.Store(int64(2 * time.Minute))
		if until, ok := e.HeldUntil(1); ok && until.After(time.Now()) {
			t.Errorf("after two minutes of sleep the lease is held until %v, it is %v", until, time.Now())
		}
		woke := time.Now()
		gone.wantEnd(Expired)
		if took := gone.at.Sub(woke); took > lookEvery {
			t.Errorf("the loss was reported after %v", took)
		}
		ahead.Store(int64(3 * time.Minute))
		wait(lookEvery + time.Millisecond) // timers of the same moment fire in any order
		lives.wantAlive()
		if until, ok := e.HeldUntil(2); !ok || time.Until(until) < 50*time.Second {
			t.Errorf("renewed since: held until %v, it is %v", until, time.Now())
		}
		s.set("A", "silent")
		wait(time.Second)
		ahead.Store(int64(5 * time.Minute))
		woke = time.Now()
		lives.wantEnd(Unrenewed)
		if took := lives.at.Sub(woke); took > lookEvery+maxPatience {
			t.Errorf("the loss was reported after %v", took)
		}
	})
}

func TestUnknownTTLNeverAnswered(t *testing.T) {
	s := newFakeServer("A")
	s.set("A", "silent")
	start(t, s, func(t *testing.T, e *Engine) {
		sink := newFakeSink(t)
		began := time.Now()
		e.KeepAlive(t.Context(), 1, sink)
		sink.wantEnd(Unrenewed)
		if took := sink.at.Sub(began); took != DefaultFirstAnswer {
			t.Errorf("reported after %v", took)
		}
	})
}

func TestContextRevocationAndCloseEndKeeps(t *testing.T) {
	s := newFakeServer("A")
	s.ttl[1], s.ttl[2], s.ttl[3] = 60, 60, 60
	start(t, s, func(t *testing.T, e *Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		a, b, c, d := newFakeSink(t), newFakeSink(t), newFakeSink(t), newFakeSink(t)
		e.KeepAlive(ctx, 1, a)
		e.KeepAlive(t.Context(), 1, b)
		e.KeepAlive(t.Context(), 2, c)
		e.Granted(3, 60, time.Now(), 0)
		e.KeepAlive(t.Context(), 3, d)
		time.Sleep(time.Second) // b has joined late if a was answered already
		synctest.Wait()
		if a.count() == 0 || b.count() == 0 {
			t.Error("keeps of one lease do not share a renewal")
		}
		cancel()
		a.wantEnd(Cancelled)
		if !errors.Is(a.err, context.Canceled) {
			t.Errorf("ended with %v", a.err)
		}
		e.Revoked(2)
		c.wantEnd(Revoked)
		b.wantAlive()
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(e.Close)
		}
		closers.Wait()
		b.wantEnd(Closed)
		d.wantEnd(Closed)
		if err := e.KeepAlive(t.Context(), 1, newFakeSink(t)); !errors.Is(err, ErrClosed) {
			t.Errorf("KeepAlive after Close returned %v", err)
		}
	})
	start(t, s, func(t *testing.T, e *Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		sink := newFakeSink(t)
		if err := e.KeepAlive(ctx, 1, sink); err != nil {
			t.Error(err)
		}
		sink.wantEnd(Cancelled)
		if s.opens > 1 {
			t.Error("a stream was opened for an ended context")
		}
	})
}

func TestCloseWhileOpenBlocks(t *testing.T) {
	s := newFakeServer("A")
	start(t, s, func(t *testing.T, e *Engine) {
		e.cfg.Open = func(ctx context.Context, _ []string) (Stream, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		sink := newFakeSink(t)
		e.KeepAlive(t.Context(), 1, sink)
		wait(3 * time.Second)
		e.Close()
		sink.wantEnd(Closed)
	})
}

// The server ends the stream of all leases if one may not be renewed. Only that one halts.
func TestDeniedLease(t *testing.T) {
	s := newFakeServer("A", "B")
	s.ttl[1], s.ttl[2] = 5, -2
	start(t, s, func(t *testing.T, e *Engine) {
		good, bad := newFakeSink(t), newFakeSink(t)
		e.KeepAlive(t.Context(), 1, good)
		e.KeepAlive(t.Context(), 2, bad)
		bad.wantEnd(Halted)
		if !errors.Is(bad.err, errDenied) {
			t.Errorf("halted with %v", bad.err)
		}
		wait(10 * time.Second)
		good.wantAlive()
	})
}

// Ten thousand leases that are all due at once, at a server that needs 2 ms for each
// on a stream: 20 s on one stream, too long for a TTL of 15 s.
func TestManyLeases(t *testing.T) {
	const n = 10_000
	s := newFakeServer("A", "B", "C")
	s.each = 2 * time.Millisecond
	for id := range int64(n) {
		s.ttl[id] = 15
	}
	start(t, s, func(t *testing.T, e *Engine) {
		now := time.Now()
		var sinks []*fakeSink
		for id := range int64(n) {
			e.Granted(id, 15, now, 0)
			sinks = append(sinks, newFakeSink(t))
			e.KeepAlive(t.Context(), id, sinks[id])
		}
		wait(30 * time.Second)
		s.set("A", "silent")
		wait(30 * time.Second)
		for _, sink := range sinks {
			sink.wantAlive()
		}
		if s.opens > 3*maxStreams {
			t.Errorf("%d streams were opened", s.opens)
		}
	})
}

// Many goroutines do all this at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := newFakeServer("A", "B", "C")
	for id := range int64(20) {
		s.ttl[id] = 2 + id%4
	}
	start(t, s, func(t *testing.T, e *Engine) {
		var users sync.WaitGroup
		for g := range 8 {
			users.Go(func() {
				for i := range 40 {
					id := int64((g*7 + i*3) % 20)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*50)*time.Millisecond)
					sink := newFakeSink(t)
					switch i % 5 {
					case 0:
						e.Granted(id, s.ttl[id], time.Now(), 0)
					case 1:
						e.Revoked(id)
					}
					if err := e.KeepAlive(ctx, id, sink); err != nil {
						t.Error(err)
					}
					<-sink.done
					cancel()
				}
			})
		}
		for i, mode := range []string{"silent", "", "gone", "", "refuse", ""} {
			wait(time.Second)
			s.set(s.members[i%3], mode)
		}
		users.Wait()
	})
}
