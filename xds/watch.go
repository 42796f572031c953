package xds

// A request says what a client follows of one kind of resources. For it, and again after each
// answer, the library asks for a watch. From then on the services behind the watch are followed.
// While one of them is not known yet, the watch is not opened: an answer without the service would
// say that it is gone.

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// watcher opens watches for the library.
type watcher struct{ s *Server }

// CreateWatch opens a watch for the state of the world.
func (w watcher) CreateWatch(q *cache.Request, sub cache.Subscription, answers chan cache.Response) (func(), error) {
	c, needs, err := w.s.asks(q.GetTypeUrl(), sub)
	if err != nil {
		return nil, err
	}
	return w.s.open(needs, q.GetVersionInfo() != "", func() (func(), error) { return c.CreateWatch(q, sub, answers) })
}

// CreateDeltaWatch opens a watch for differences.
func (w watcher) CreateDeltaWatch(
	q *cache.DeltaRequest,
	sub cache.Subscription,
	answers chan cache.DeltaResponse,
) (func(), error) {
	c, needs, err := w.s.asks(q.GetTypeUrl(), sub)
	if err != nil {
		return nil, err
	}
	return w.s.open(
		needs,
		len(sub.ReturnedResources()) > 0,
		func() (func(), error) { return c.CreateDeltaWatch(q, sub, answers) },
	)
}

// asks follows the services that a subscription names, and returns those among them that are not
// known yet.
func (s *Server) asks(url string, sub cache.Subscription) (*cache.LinearCache, []*service, error) {
	kind := slices.Index(typeURLs[:], url)
	names := sub.SubscribedResources()
	switch {
	case kind < 0:
		return nil, nil, status.Errorf(codes.InvalidArgument, "there are no resources of type %q here", url)
	case len(names) > mostNames:
		return nil, nil, status.Errorf(
			codes.ResourceExhausted,
			"%d names of one kind, more than %d",
			len(names),
			mostNames,
		)
	case sub.IsWildcard() && kind != clusters:
		return s.empty[kind], nil, nil
	}
	var needs []*service
	need := func(one *service) {
		if !one.ready() {
			needs = append(needs, one)
		}
	}
	for name := range names {
		if one := s.asked(kind, name); one != nil {
			need(one)
		}
	}
	if sub.IsWildcard() {
		for _, name := range s.always {
			if one, err := s.at(name); err == nil {
				need(one)
			}
		}
	}
	return s.caches[kind], needs, nil
}

// asked follows the service that a resource belongs to. It returns nil if there can be no such
// service or there are too many.
func (s *Server) asked(kind int, name string) *service {
	if kind != clusters && kind != endpoints {
		one, _ := s.at(name) // a client that asks for too many gets no answer for this one
		return one
	}
	service, f, ok := parseCluster(name)
	if !ok {
		return nil
	}
	one, err := s.at(service)
	if err != nil {
		return nil
	}
	s.ask(one, f)
	return one
}

// open opens a watch once the services that it needs are known, mostly at once. A client that
// knows something already waits for as long as that takes, since it can go on meanwhile. Any other
// client is answered after loadWithin with what there is.
func (s *Server) open(needs []*service, knows bool, open func() (func(), error)) (func(), error) {
	if len(needs) == 0 {
		return open()
	}
	ctx, cancel := context.WithCancel(s.group.Context())
	l := &later{}
	s.wait(needs, +1)
	started := s.group.Go(func(context.Context) {
		defer s.wait(needs, -1)
		for _, one := range needs {
			await(ctx, one, knows)
		}
		if err := l.open(ctx, open); err != nil {
			s.say("xds: a watch cannot be opened: %v", err)
		}
	})
	if !started {
		cancel()
		s.wait(needs, -1)
		return nil, status.Error(codes.Unavailable, "the server ends")
	}
	return func() { cancel(); l.close() }, nil
}

func (s *Server) wait(list []*service, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range list {
		one.waiting += n
	}
}

// await waits until a service is known or denied. A patient wait has no limit.
func await(ctx context.Context, one *service, patient bool) {
	tick := time.NewTicker(deniedEvery)
	defer tick.Stop()
	limit := make(<-chan time.Time)
	if !patient {
		t := time.NewTimer(time.Until(one.since.Add(loadWithin)))
		defer t.Stop()
		limit = t.C
	}
	for !one.denied() {
		select {
		case <-one.known:
			return
		case <-ctx.Done():
			return
		case <-limit:
			return
		case <-tick.C:
		}
	}
}

// later is a watch that may be closed before it is opened.
type later struct {
	mu      sync.Mutex
	closed  bool
	closing func()
}

func (l *later) open(ctx context.Context, open func() (func(), error)) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || ctx.Err() != nil {
		return nil
	}
	l.closing, err = open()
	return err
}

func (l *later) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed = true; l.closing != nil {
		l.closing()
		l.closing = nil
	}
}
