package discovery

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Subscription follows the instances of a service. Methods are safe for concurrent use,
// but only one goroutine should call Next.
type Subscription struct {
	f    *feed
	wake chan struct{} // there may be something new
	done chan struct{} // closed when the subscription has ended
	once sync.Once

	mu      sync.Mutex
	begun   bool            // Next has returned once
	told    int64           // revision of the view that Next returned last
	drains  bool            // an instance drains in it
	seen    int64           // revision of the last view that the caller has done with
	pending map[string]step // since then, by key; before is what Next told last
	stale   bool            // as told last
	split   Split           // as told last
}

// Change is what happened since the last one. Its slices are in no order.
type Change struct {
	View                    *View
	Added, Updated, Removed []*Instance
	// Stale: etcd has not answered for some seconds, or not yet; the view is as of what was
	// last known.
	Stale bool
	// Resplit: the view has another split than the one before.
	Resplit bool
}

// Status says how sure a view is.
type Status struct {
	Revision int64         // as of which it is right; 0: from a file, or none yet
	Age      time.Duration // since it was last known to be right
	Stale    bool
	// Err is why the records cannot be read, nil if they can.
	Err error
	// Control, if not nil, says what is wrong with the service's control record (see Control), which may not be
	// read, say; the last good one stays in force.
	Control error
}

// Ready waits until there is a view. If ctx ends first, the error says why there is none.
func (s *Subscription) Ready(ctx context.Context) error {
	select {
	case <-s.f.loaded:
		return nil
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return s.f.unread(ctx)
	}
}

// View is the present one, nil before the first. To whoever never calls Next an instance that drains counts as
// seen with it, see WithAnnounce.
func (s *Subscription) View() *View {
	v := s.f.view.Load()
	if v != nil && v.draining > 0 && s.looked(v) {
		signal(s.f.acked)
	}
	return v
}

// looked notes that the caller has a view otherwise than by Next, and reports whether that is news.
func (s *Subscription) looked(v *View) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun || v.revision <= s.seen {
		return false
	}
	s.seen = v.revision
	return true
}

// Status says how sure the present view is.
func (s *Subscription) Status() Status {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	st := Status{Stale: s.f.stale, Err: s.f.err, Control: s.f.controlErr}
	if v := s.f.view.Load(); v != nil {
		st.Revision = v.revision
		st.Age = s.f.age()
	}
	return st
}

// Next waits for a change and returns all that have come since the last, as one: what came
// and went meanwhile is not among them. The first one has everything as added, and comes
// also if there is nothing. A slow caller delays nobody. After Close it returns ErrClosed.
func (s *Subscription) Next(ctx context.Context) (Change, error) {
	s.mu.Lock()
	news := s.drains && s.told > s.seen
	s.seen = s.told
	s.mu.Unlock()
	if news {
		signal(s.f.acked)
	}
	for {
		select {
		case <-s.done:
			return Change{}, ErrClosed
		default:
		}
		if c, ok := s.take(); ok {
			return c, nil
		}
		select {
		case <-s.wake:
		case <-s.done:
		case <-ctx.Done():
			return Change{}, s.f.unread(ctx)
		}
	}
}

// take returns what is pending, if anything.
func (s *Subscription) take() (c Change, ok bool) {
	s.f.mu.Lock() // the view and what is pending belong together
	defer s.f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.View, c.Stale = s.f.view.Load(), s.f.stale
	if c.View == nil {
		return c, false
	}
	defer func() {
		if ok {
			s.told, s.drains = c.View.revision, c.View.draining > 0
			s.split = c.View.split
		}
	}()
	if !s.begun {
		s.begun, s.stale, s.pending = true, c.Stale, make(map[string]step)
		c.Added = c.View.Instances()
		return c, true
	}
	for _, st := range s.pending {
		switch {
		case st.before == nil && st.after != nil:
			c.Added = append(c.Added, st.after)
		case st.before != nil && st.after == nil:
			c.Removed = append(c.Removed, st.before)
		case st.before != nil && !st.before.Equal(st.after):
			c.Updated = append(c.Updated, st.after)
		}
	}
	clear(s.pending)
	c.Resplit = !maps.Equal(c.View.split, s.split)
	ok = len(c.Added)+len(c.Updated)+len(c.Removed) > 0 || c.Stale != s.stale || c.Resplit
	s.stale = c.Stale
	return c, ok
}

// note takes changes; the caller holds the feed's lock.
func (s *Subscription) note(list []step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		return // the first Change is everything
	}
	for _, st := range list {
		if old, ok := s.pending[st.key]; ok {
			st.before = old.before
		}
		s.pending[st.key] = st
	}
}

func (s *Subscription) poke() { signal(s.wake) }

// Close ends the subscription; the last one of a service ends its watch.
func (s *Subscription) Close() {
	s.once.Do(func() {
		s.f.mu.Lock()
		delete(s.f.subs, s)
		s.finish()
		s.f.mu.Unlock()
		s.f.d.release(s.f)
	})
}

// finish ends the subscription; the caller holds the feed's lock.
func (s *Subscription) finish() {
	select {
	case <-s.done:
	default:
		close(s.done)
	}
}

// signal wakes whoever waits on a channel with room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
