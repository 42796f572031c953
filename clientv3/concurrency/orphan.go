package concurrency

// A session whose renewals have ended still has its lease for a while, longer if another process
// renews it. No watch reports the lease's end. So as long as goroutines wait with the lease, or
// guard what is held with it, one more, the minder, asks how long it has, and ends the session's
// life in time. Without them an orphaned session has no goroutine, so one that is dropped costs
// nothing.

import (
	"context"
	"time"
)

// mindTry bounds one question of the minder.
const mindTry = 2 * time.Second

// work runs f in a goroutine that ends with the session's life; the caller holds mu.
func (s *Session) work(f func(context.Context)) bool {
	started := s.group.Go(func(ctx context.Context) {
		defer s.worked()
		f(ctx)
	})
	if started {
		s.working++
		s.mind()
	}
	return started
}

func (s *Session) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working--
	if s.working == 0 && s.unmind != nil {
		s.unmind()
		s.unmind = nil
	}
}

// mind starts the minder if one is needed; the caller holds mu.
func (s *Session) mind() {
	if s.ctx.Err() == nil || s.working == 0 || s.unmind != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.life)
	s.unmind = cancel
	s.group.Go(func(context.Context) { s.minds(ctx) })
}

// minds ends the session's life when the lease may have ended.
func (s *Session) minds(ctx context.Context) {
	for failures := 0; ; {
		// A third of the rest each time, so that a renewal by another process is seen.
		left := time.Until(s.validUntil())
		pause := max(left/3, lookAgain)
		if failures > 0 {
			pause = min(pause, attendWait.Wait(failures-1))
		}
		if left > 0 && !s.pause(ctx, min(pause, left)) {
			return
		}
		try, cancel := context.WithTimeout(ctx, mindTry)
		err := s.ask(try)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
		default:
			failures = 0
		}
		if !time.Now().Before(s.validUntil()) {
			s.lost()
			return
		}
	}
}

// pause returns false when ctx or the client has ended, and with that the session.
func (s *Session) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.client.Ctx().Done():
		s.expire(context.Cause(s.client.Ctx()))
	case <-ctx.Done():
	}
	return false
}

// confirm makes sure that an orphaned session has a lease, and learns how long it lives at least.
func (s *Session) confirm(ctx context.Context) error {
	if s.ctx.Err() == nil || time.Now().Before(s.validUntil()) {
		return nil
	}
	if err := s.ask(ctx); err != nil {
		return err
	}
	if s.life.Err() != nil {
		return s.gone()
	}
	return nil
}

// ask asks the cluster how long the lease has, and ends the session if it has none.
func (s *Session) ask(ctx context.Context) error {
	asked := time.Now()
	r, err := s.client.TimeToLive(ctx, s.id)
	switch {
	case err != nil:
		s.failed(err)
	case r.TTL <= 0: // less than a second
		s.lost()
	default:
		s.exists(asked.Add(time.Duration(r.TTL) * time.Second)) // whole seconds, rounded down
	}
	return err
}

// exists notes that the lease exists at least until then.
func (s *Session) exists(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.until) {
		s.until = until
	}
}

func (s *Session) validUntil() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}
