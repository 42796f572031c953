package xds

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

const (
	// settleAfter is how long clients have a cluster before calls are led to it: gRPC for Go fails
	// calls that come earlier.
	settleAfter = 500 * time.Millisecond
	// splitAfter is how long the clusters of an earlier split stay, for clients that still have
	// its route.
	splitAfter = time.Minute
	// mostFilters bounds the clusters of one service that clients may name.
	mostFilters = 64
)

// service is a service that is followed. A goroutine of its own receives its changes.
type service struct {
	name  string
	sub   *discovery.Subscription
	since time.Time
	known chan struct{} // closed once its resources are there

	// Guarded by Server.mu.
	asked   time.Time
	waiting int // requests that wait for known

	mu     sync.Mutex // held while resources are published, so that they are published in order
	gone   bool       // it is no longer followed
	view   *discovery.View
	wanted map[discovery.Filter]time.Time // parts, and when a client last asked for them or the split had them
	have   set
	action *route.RouteAction // where calls are led
	led    map[string]led     // clusters of the route
	hasten bool               // the action is not yet the final one
}

// led is a cluster that clients have through a route.
type led struct {
	since time.Time
	used  time.Time // by the split, or by calls
}

// denied reports whether etcd denies access to the service.
func (one *service) denied() bool {
	return clientv3.Code(one.sub.Status().Err) == codes.PermissionDenied
}

// ready reports whether the service's resources are published.
func (one *service) ready() bool {
	select {
	case <-one.known:
		return true
	default:
		return false
	}
}

// follow publishes the changes of a service. Asking for the next change acknowledges that the ones
// before have been published.
func (s *Server) follow(ctx context.Context, one *service) {
	defer one.sub.Close()
	for {
		change, err := one.next(ctx)
		if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return
		}
		one.mu.Lock()
		if err == nil {
			one.view = change.View
		}
		s.publish(one)
		if !one.ready() {
			close(one.known)
		}
		one.mu.Unlock()
	}
}

// next returns the next change, or fails after settleAfter if the route is not yet the final one.
func (one *service) next(ctx context.Context) (discovery.Change, error) {
	one.mu.Lock()
	hasten := one.hasten
	one.mu.Unlock()
	if hasten {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, settleAfter)
		defer cancel()
	}
	return one.sub.Next(ctx)
}

// lead returns the present route. It leads calls to clusters that clients have had for a while.
func (one *service) lead(st state, placed []place, now time.Time) *route.RouteConfiguration {
	to := st.action(placed)
	use := func(name string) {
		was, ok := one.led[name]
		if !ok {
			was.since = now
		}
		was.used = now
		one.led[name] = was
	}
	for f := range st.split {
		use(clusterName(one.name, f))
	}
	one.hasten = false
	for _, name := range leadsTo(to) {
		use(name)
		one.hasten = one.hasten || now.Sub(one.led[name].since) < settleAfter
	}
	if one.hasten = one.hasten && one.action != nil; !one.hasten {
		one.action = to
	}
	for _, name := range leadsTo(one.action) {
		use(name)
	}
	var besides []string
	for name, l := range one.led {
		switch {
		case now.Sub(l.used) >= splitAfter:
			delete(one.led, name)
		case !slices.Contains(leadsTo(one.action), name):
			besides = append(besides, name)
		}
	}
	slices.Sort(besides)
	return st.route(one.action, besides)
}

// ask adds a part that a client names.
func (s *Server) ask(one *service, f discovery.Filter) {
	if f == "" {
		return
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	_, ok := one.wanted[f]
	if !ok && len(one.wanted) >= mostFilters {
		return
	}
	if one.wanted[f] = time.Now(); !ok && one.view != nil {
		s.publish(one)
	}
}

// publish updates the caches to what is known now. It touches only what has changed. The caller
// holds one.mu.
func (s *Server) publish(one *service) {
	if one.gone {
		return
	}
	st, now := stateOf(one.view), time.Now()
	placed := st.place()
	for f := range st.split {
		one.wanted[f] = now
	}
	var named, also []discovery.Filter
	for f, at := range one.wanted {
		name := clusterName(one.name, f)
		switch {
		case now.Sub(at) < splitAfter || s.watched(clusters, name):
			named = append(named, f)
		case s.watched(endpoints, name):
			also = append(also, f)
		default:
			delete(one.wanted, f)
		}
	}
	s.bring(one, st.resources(placed, named, also, one.lead(st, placed, now)))
}

// bring replaces the resources of a service in the caches.
func (s *Server) bring(one *service, want set) {
	for k, cache := range s.caches {
		changed := make(map[string]types.Resource)
		var gone []string
		for name, r := range want[k] {
			if was, ok := one.have[k][name]; ok && proto.Equal(was, r) {
				want[k][name] = was
				continue
			}
			changed[name] = r
		}
		for name := range one.have[k] {
			if _, ok := want[k][name]; !ok {
				gone = append(gone, name)
			}
		}
		if len(changed) > 0 || len(gone) > 0 {
			slices.Sort(gone)
			if err := cache.UpdateResources(changed, gone); err != nil {
				s.say("xds: %s: %v", one.name, err)
			}
		}
	}
	one.have = want
}

// watched reports whether a client follows a resource by name.
func (s *Server) watched(kind int, name string) bool {
	c := s.caches[kind]
	return c.NumWatches(name) > c.NumWildcardWatches()
}

// used reports whether a client follows any resource of a service.
func (s *Server) used(one *service) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	for k := range kinds {
		for name := range one.have[k] {
			if s.watched(k, name) {
				return true
			}
		}
	}
	return false
}

// tidy removes the parts that nobody uses any more.
func (s *Server) tidy(one *service) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.view != nil && len(one.wanted)+len(one.led) > 1 {
		s.publish(one)
	}
}

// forget removes the resources of a service.
func (s *Server) forget(one *service) {
	one.sub.Close()
	one.mu.Lock()
	defer one.mu.Unlock()
	one.gone = true
	s.bring(one, set{})
}
