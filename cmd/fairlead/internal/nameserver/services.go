package nameserver

// The services that are followed: those that clients asked for lately.
//
// Every client that may ask can make up names, and each costs etcd a read and a watch until it is
// dropped. So new ones are followed at a limited rate, and their number is limited; when there is
// no room, names without instances are dropped first. services.mu guards the map and the times of
// the last queries; followed.mu guards the index of one service. Nothing waits under services.mu.

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// idleAfter is how long nobody must have asked for a service before it is dropped.
	idleAfter = 5 * time.Minute
	// keepAtLeast protects a service that is in use from names that were made up.
	keepAtLeast = 30 * time.Second
	// newPerSecond and newBurst bound what made up names cost etcd: a fraction of the reads that a
	// member can answer. A process that asks for all of its services when it starts is within the
	// burst.
	newPerSecond = 100
	newBurst     = 200
	// loadWithin is how long etcd has for the first view of a service. Resolvers ask again
	// after 5 s.
	loadWithin = 2 * time.Second
)

var errBusy = errors.New("nameserver: too many services are asked for")

type services struct {
	source Source
	max    int
	fresh  *rate.Limiter

	mu     sync.Mutex
	byName map[string]*followed
}

func newServices(source Source, limit int) *services {
	return &services{
		source: source,
		max:    limit,
		fresh:  rate.NewLimiter(newPerSecond, newBurst),
		byName: make(map[string]*followed),
	}
}

// followed is a service that is followed.
type followed struct {
	feed  Feed
	since time.Time
	asked time.Time // guarded by services.mu

	mu    sync.Mutex // guards what follows
	of    View       // the view of idx
	idx   *index
	built time.Time
	took  time.Duration // the time it took to build idx
}

// get returns a service and follows it from now on.
func (s *services) get(service string, now time.Time) (*followed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byName[service]; f != nil {
		f.asked = now
		return f, nil
	}
	if !s.fresh.AllowN(now, 1) || len(s.byName) >= s.max && !s.makeRoom(now) {
		return nil, errBusy
	}
	feed, err := s.source.Subscribe(service)
	if err != nil {
		return nil, err
	}
	f := &followed{feed: feed, since: now, asked: now}
	s.byName[service] = f
	return f, nil
}

// known returns a service that is followed already, nil for others.
func (s *services) known(service []byte, now time.Time) *followed {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byName[string(service)]
	if f != nil {
		f.asked = now
	}
	return f
}

// makeRoom drops the service without instances whose last query is the oldest. If all have
// instances, it drops of those without a recent query the one whose last query is the oldest. While
// etcd is away, it drops no service with instances: it could not be read again, and a new one could
// not be read either.
func (s *services) makeRoom(now time.Time) bool {
	var drop string
	var least *followed
	leastEmpty := false
	for name, f := range s.byName {
		empty := f.empty()
		if !empty && (now.Sub(f.asked) < keepAtLeast || f.feed.Stale()) {
			continue
		}
		if least == nil || empty && !leastEmpty || empty == leastEmpty && f.asked.Before(least.asked) {
			drop, least, leastEmpty = name, f, empty
		}
	}
	if least == nil {
		return false
	}
	least.feed.Close()
	delete(s.byName, drop)
	return true
}

// sweep drops services that nobody asks for. Known instances stay while etcd is away: they could
// not be read again.
func (s *services) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.byName {
		if now.Sub(f.asked) >= idleAfter && (f.empty() || !f.feed.Stale()) {
			f.feed.Close()
			delete(s.byName, name)
		}
	}
}

// look reads the present views, from which the next answers are made: so draining instances learn
// that they are seen even while nobody asks for them.
func (s *services) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.byName {
		f.feed.View()
	}
}

// close drops all services.
func (s *services) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.byName {
		f.feed.Close()
		delete(s.byName, name)
	}
}

// empty reports whether the service has no known instances, so that nothing is lost with it.
func (f *followed) empty() bool {
	v := f.feed.View()
	if v == nil {
		return true
	}
	for range v.All() {
		return false
	}
	return true
}

// await waits for the first view, at most until loadWithin after the service was first asked for:
// later queries get SERVFAIL at once while etcd does not answer.
func (f *followed) await(ctx context.Context) {
	ctx, cancel := context.WithDeadline(ctx, f.since.Add(loadWithin))
	defer cancel()
	_ = f.feed.Ready(ctx) // View says whether there is one
}

// index returns the index of the present view, nil before the first. When views follow each other
// fast, it returns a slightly older one: at most a tenth of the time goes into building them.
func (f *followed) index() *index {
	v := f.feed.View()
	if v == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idx != nil && (f.of == v || time.Since(f.built) < 10*f.took) {
		return f.idx
	}
	begin := time.Now()
	f.of, f.idx = v, newIndex(v)
	f.built = time.Now()
	f.took = f.built.Sub(begin)
	return f.idx
}
