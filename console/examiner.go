package console

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/doctor"
)

const (
	// healthEvery is the time between two examinations while a page shows them; healthIdle is the
	// time otherwise, so that the console knows when a problem began.
	healthEvery = 5 * time.Second
	healthIdle  = time.Minute
	// healthLeast is the shortest time between two examinations.
	healthLeast = time.Second
	// healthWindow is the period by which disks and elections are judged.
	healthWindow = time.Minute
)

// examiner examines the cluster, once for all pages and users, and remembers the findings. Its
// goroutine ends with the console.
type examiner struct {
	c      *Console
	soon   chan struct{} // the next examination is due
	memory *memory

	mu   sync.Mutex // guards what follows
	subs map[chan *health]*session
	last *health
}

func (e *examiner) init(c *Console, past *memory) {
	e.c, e.soon, e.memory = c, make(chan struct{}, 1), past
	e.subs = make(map[chan *health]*session)
	c.group.Go(e.run)
}

// hurry starts the next examination now.
func (e *examiner) hurry() {
	select {
	case e.soon <- struct{}{}:
	default:
	}
}

// subscribe returns a channel that always holds the latest findings; cancel ends it.
func (e *examiner) subscribe(s *session) (latest <-chan *health, cancel func()) {
	ch := make(chan *health, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subs[ch] = s
	fresh := e.last != nil && time.Since(time.UnixMilli(e.last.At)) < 2*healthEvery
	if fresh {
		ch <- e.last
	}
	if !fresh || len(e.subs) == 1 {
		e.hurry()
	}
	return ch, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.subs, ch)
	}
}

func (e *examiner) run(ctx context.Context) {
	var (
		began  onsets
		recent []*doctor.Facts // the oldest first
	)
	saved := time.Now()
	defer func() { e.memory.keepOn(time.Now(), &saved, true) }()
	for {
		start := time.Now()
		f, err := e.look(ctx, recent)
		if ctx.Err() != nil {
			return
		}
		if f != nil && err == nil {
			f.Defragmenting = e.c.defragmenting.since(start)
			e.c.defragmenting.saw(f)
			for len(recent) > 0 && f.Now.Sub(recent[0].Now) >= healthWindow {
				recent = recent[1:]
			}
			recent = append(recent, f)
			h := began.health(f)
			e.memory.add(f, h)
			e.memory.keepOn(start, &saved, false)
			e.publish(h)
		}
		if !e.rest(ctx, start) {
			return
		}
	}
}

// look gathers the facts; nil if there is no client that may ask.
func (e *examiner) look(ctx context.Context, recent []*doctor.Facts) (*doctor.Facts, error) {
	client, done := e.asks()
	if client == nil {
		return nil, nil
	}
	defer done()
	o := doctor.Options{Timeout: statusTimeout, Pages: e.c.metrics, TLS: e.c.secure}
	if len(recent) > 0 {
		o.Before = recent[0]
	}
	return doctor.Gather(clientv3.WithFailFast(ctx), client, o)
}

// asks returns the client to use, if necessary that of a signed-in user: without a token or open
// access the console's own client may have no permissions.
func (e *examiner) asks() (client *clientv3.Client, done func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	own := len(e.subs) == 0 && (e.c.open || e.c.token != "")
	for _, s := range e.subs {
		own = own || s.user == ""
	}
	if own {
		return e.c.client, func() {}
	}
	for _, s := range e.subs {
		e.c.sessions.mu.Lock()
		s = s.enter()
		e.c.sessions.mu.Unlock()
		if s != nil {
			return s.client, s.leave
		}
	}
	return nil, nil
}

// rest waits for the next examination; it returns false if ctx ends first.
func (e *examiner) rest(ctx context.Context, since time.Time) bool {
	e.mu.Lock()
	pause := healthIdle
	if len(e.subs) > 0 {
		pause = healthEvery
	}
	e.mu.Unlock()
	timer := time.NewTimer(max(pause-time.Since(since), healthLeast))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.soon:
	case <-ctx.Done():
		return false
	}
	timer.Reset(max(healthLeast-time.Since(since), 0))
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// publish sends the findings to all subscribers.
func (e *examiner) publish(h *health) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = h
	for ch := range e.subs {
		select {
		case <-ch: // the subscriber has not taken it
		default:
		}
		ch <- h
	}
}

// defragmenting is the member that the console defragments, or defragmented last. The member does
// not answer meanwhile.
type defragmenting struct {
	mu    sync.Mutex // guards what follows
	id    uint64
	ended time.Time // zero as long as it goes on
	// seen are the ids and addresses of the members that were being defragmented, by whomever, when
	// the cluster was examined last.
	seen map[string]bool
}

// saw notes the result of an examination.
func (d *defragmenting) saw(f *doctor.Facts) {
	seen := make(map[string]bool)
	for _, m := range f.Defragmented() {
		seen[idName(m.ID)] = true
		for _, a := range m.URLs {
			seen[hostPort(a.URL)] = true
		}
	}
	delete(seen, idName(0))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = seen
}

// excuses reports whether a member that was asked at that time is being defragmented.
func (d *defragmenting) excuses(m *member, at time.Time) bool {
	if id := d.since(at); id != 0 && m.ID == idName(id) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[m.ID] || d.seen[hostPort(m.Endpoint)]
}

// begin notes that it begins for a member; the function that it returns notes the end.
func (d *defragmenting) begin(id string) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.id, _ = strconv.ParseUint(id, 16, 64) // the plan has written it in this form
	d.ended = time.Time{}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ended = time.Now()
	}
}

// since returns the member that was being defragmented at that time or later, 0 if there was none.
func (d *defragmenting) since(at time.Time) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended.IsZero() || d.ended.After(at) {
		return d.id
	}
	return 0
}
