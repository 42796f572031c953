package discovery

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Subscription follows the instances of a service; [Directory.Subscribe] begins one. Methods are
// safe for concurrent use, but only one goroutine should call [Subscription.Next].
type Subscription struct {
	of     *followed
	tracks []*track      // one for each feed of it
	wake   chan struct{} // there may be something new
	done   chan struct{} // closed when the subscription has ended
	once   sync.Once     // closes the subscription
	ended  sync.Once     // closes done

	mu    sync.Mutex // guards what follows, and the tracks; taken after a feed's
	begun bool       // Next has returned once
	used  *track     // the track whose view Next returned last
	last  *View      // that view
	stale bool       // as delivered last
	split Split      // as delivered last
	limit Limits     // as delivered last
}

// track is how far a subscription is with one cluster.
type track struct {
	s *Subscription
	f *feed

	// Guarded by s.mu.
	returned int64           // revision of the view that Next returned last, or passed over
	drains   bool            // an instance drains in it
	seen     int64           // revision of the last view that the caller has done with
	pending  map[string]step // changes since then, by key; nil unless the track is used
}

// Change is the difference since the previous one; see [Subscription.Next]. Its slices have no
// order.
type Change struct {
	// View is the present view. If its cluster is another one than before (see [WithFallback]), the
	// rest of the Change is the difference between the two views, by the ids of the instances.
	View                    *View
	Added, Updated, Removed []*Instance
	// Stale: etcd has not answered for some seconds, or not yet; the view shows the last known
	// state.
	Stale bool
	// Resplit: the view has another split than the one before.
	Resplit bool
	// Relimited: the view has other limits than the one before.
	Relimited bool
}

// Status says how current a view is; see [Subscription.Status].
type Status struct {
	Revision int64 // the view is right as of it; 0: from a file, or no view yet
	// Age is since etcd was last known to answer with the watch under way. What is still on its way
	// over a slow link does not count: a cache says how far it is behind, see
	// [github.com/fairlead-go/fairlead/cache.State].
	Age   time.Duration
	Stale bool
	// Err is why the records cannot be read, nil if they can.
	Err error
	// Control, if not nil, is the error of the service's control record (see [Control]): it may not
	// be read, say. The last valid record stays in force.
	Control error
}

// Ready waits until there is a view. If ctx ends first, the error says why there is none. If the
// subscription ends first, it returns [ErrClosed].
func (s *Subscription) Ready(ctx context.Context) error {
	select {
	case <-s.of.ready:
		return nil
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return s.of.unread(ctx)
	}
}

// View returns the present view, nil before the first. For a caller that never calls
// [Subscription.Next], getting a view counts as having seen it; see [WithAnnounce].
func (s *Subscription) View() *View {
	at := s.of.choose()
	shown := s.of.feeds[at].view.Load()
	for i, t := range s.tracks {
		v := shown
		if i != at {
			v = t.f.view.Load() // the caller does not use it
		}
		if v != nil && v.draining > 0 && t.looked(v) {
			t.f.acknowledge()
		}
	}
	return shown
}

// looked notes that the caller got a view by other means than Next, and reports whether that is
// news.
func (t *track) looked(v *View) bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.s.begun || v.revision <= t.seen || v != t.f.view.Load() { // the latest may be of another history
		return false
	}
	t.seen = v.revision
	return true
}

// Status says how current the present view is.
func (s *Subscription) Status() Status { return s.of.feeds[s.of.choose()].status() }

func (f *feed) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := Status{Stale: f.stale, Err: f.err, Control: f.controlErr}
	if v := f.view.Load(); v != nil {
		st.Revision = v.revision
		st.Age = f.age()
	}
	return st
}

// Next waits for a change and returns all changes since the previous one, as one: instances that
// came and went meanwhile are not in it. The first one has every instance in Added, and comes also
// if there is none. A slow caller delays nobody. Next fails when ctx ends, and with [ErrClosed]
// after [Subscription.Close]; only one goroutine should call it.
func (s *Subscription) Next(ctx context.Context) (Change, error) {
	s.settle()
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
			return Change{}, s.of.unread(ctx)
		}
	}
}

// settle notes that the caller has done with its last change.
func (s *Subscription) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tracks {
		t.settle()
	}
}

// settle notes that the caller has done with its last change; s.mu is held.
func (t *track) settle() {
	if t.drains && t.returned > t.seen {
		t.f.acknowledge()
	}
	t.seen = t.returned
}

// same notes that a view shows what the one before did: whoever has seen that has seen it.
func (t *track) same(before, rev int64) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if !t.s.begun || t.returned != before || len(t.pending) > 0 {
		return
	}
	done := t.seen == before
	if t.returned = rev; done {
		t.settle()
	}
}

// forget notes that revisions above rev were those of another history.
func (t *track) forget(rev int64) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.returned > rev {
		t.returned, t.drains = 0, false
	}
	if t.seen > rev {
		t.seen = 0
	}
}

// pass notes that the caller uses other instances than the track's; s.mu is held.
func (t *track) pass() {
	if v := t.f.view.Load(); v != nil {
		t.returned, t.drains = v.revision, v.draining > 0
	}
}

// choose finds the track to show, and locks its feed and the subscription, so that its view remains
// the one to show.
func (s *Subscription) choose() *track {
	for {
		i := s.of.choose()
		t := s.tracks[i]
		t.f.mu.Lock() // the view and what is pending belong together
		if s.of.choose() == i {
			s.mu.Lock()
			return t
		}
		t.f.mu.Unlock()
	}
}

// take returns the change to be delivered, if any.
func (s *Subscription) take() (c Change, ok bool) {
	t := s.choose()
	defer t.f.mu.Unlock()
	defer s.mu.Unlock()
	view, stale := t.f.view.Load(), t.f.stale
	if view == nil {
		return c, false
	}
	for _, other := range s.tracks {
		if other != t {
			if other.pass(); other != s.used {
				other.settle() // the caller has not used it before either
			}
		}
	}
	switch {
	case !s.begun:
		s.begun, ok = true, true
		c.Added = view.Instances()
	case t != s.used:
		c = between(s.last, view)
		s.used.pending = nil
	default:
		c = t.changes(view)
	}
	if t != s.used {
		t.pending = make(map[string]step)
	}
	clear(t.pending)
	c.View, c.Stale, c.Resplit = view, stale, s.last != nil && !maps.Equal(view.split, s.split)
	c.Relimited = s.last != nil && view.limits != s.limit
	ok = ok || t != s.used || len(c.Added)+len(c.Updated)+len(c.Removed) > 0 || c.Stale != s.stale || c.Resplit ||
		c.Relimited
	t.returned, t.drains = view.revision, view.draining > 0
	if s.stale = c.Stale; ok {
		s.used, s.last, s.split, s.limit = t, view, view.split, view.limits
	} else {
		t.settle() // what came has gone again, and the caller waits for more
	}
	return c, ok
}

// changes returns the pending changes up to a view; s.mu is held.
func (t *track) changes(v *View) (c Change) {
	for _, st := range t.pending {
		twinOf := v.twinOf(st.key)
		switch {
		case twinOf != nil: // the id has neither come nor gone
			c.Updated = append(c.Updated, twinOf)
		case st.before == nil && st.after != nil:
			c.Added = append(c.Added, st.after)
		case st.before != nil && st.after == nil:
			c.Removed = append(c.Removed, st.before)
		case st.before != nil && !st.before.Equal(st.after):
			c.Updated = append(c.Updated, st.after)
		}
	}
	return c
}

// note adds changes; the caller holds the feed's lock.
func (t *track) note(list []step) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.pending == nil {
		return // it begins with everything
	}
	for _, st := range list {
		if old, ok := t.pending[st.key]; ok {
			st.before = old.before
		}
		t.pending[st.key] = st
	}
}

func (s *Subscription) poke() { signal(s.wake) }

// Close ends the subscription; the last one of a service ends its watch. A second Close does
// nothing.
func (s *Subscription) Close() {
	s.once.Do(func() {
		for _, t := range s.tracks {
			t.f.mu.Lock()
			delete(t.f.subs, t)
			t.f.mu.Unlock()
		}
		s.finish()
		s.of.d.release(s.of)
	})
}

// finish ends the subscription.
func (s *Subscription) finish() { s.ended.Do(func() { close(s.done) }) }

// signal wakes the receiver of a channel with room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
