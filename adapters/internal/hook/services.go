package hook

import (
	"sync"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Services are the services whose instances are reported. The zero Services has none. It is safe
// for concurrent use.
type Services struct {
	mu       sync.Mutex
	statuses map[string]func() []pick.Status
	splits   map[string]func() []pick.SubsetStatus
	views    map[string]func() []discovery.ClusterStatus
}

// Follow reports the statuses of a service's instances from now on; nil ends that.
func (s *Services) Follow(service string, statuses func() []pick.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	follow(&s.statuses, service, statuses)
}

// FollowSplit reports how the calls to a service are split from now on; nil ends that.
func (s *Services) FollowSplit(service string, split func() []pick.SubsetStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	follow(&s.splits, service, split)
}

// FollowViews reports the age of each cluster's view of a service from now on; nil ends that.
func (s *Services) FollowViews(service string, clusters func() []discovery.ClusterStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	follow(&s.views, service, clusters)
}

func follow[T any](m *map[string]func() T, service string, f func() T) {
	if f == nil {
		delete(*m, service)
		return
	}
	if *m == nil {
		*m = make(map[string]func() T)
	}
	(*m)[service] = f
}

// Each calls the functions for each instance, each subset and each cluster's view that there is
// now.
func (s *Services) Each(
	instance func(service string, st pick.Status),
	subset func(service string, st pick.SubsetStatus),
	view func(service string, st discovery.ClusterStatus),
) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for service, statuses := range s.statuses {
		seen := make(map[string]bool)
		for _, st := range statuses() {
			if seen[st.Instance.ID] {
				continue // two with one id: the instance moved, and its old record is still there
			}
			seen[st.Instance.ID] = true
			instance(service, st)
		}
	}
	for service, split := range s.splits {
		for _, st := range split() {
			subset(service, st)
		}
	}
	for service, clusters := range s.views {
		for _, st := range clusters() {
			view(service, st)
		}
	}
}

// Picking returns an option that counts a balancer's ejections and returns, and the attempts of
// calls.
func Picking(
	ejected func(service, instance, reason string),
	returned func(service, instance string),
	attempted func(service, instance, kind, outcome string),
) pick.Option {
	return pick.WithHooks(pick.Hooks{
		Ejected: func(i pick.EjectedInfo) {
			reason := "failed"
			if i.Silent {
				reason = "silent"
			}
			ejected(i.Instance.Service, i.Instance.ID, reason)
		},
		Returned: func(in *discovery.Instance) { returned(in.Service, in.ID) },
		Attempt: func(i pick.AttemptInfo) {
			kind := "first"
			switch {
			case i.Hedge:
				kind = "hedge"
			case i.Number > 0:
				kind = "retry"
			}
			attempted(i.Instance.Service, i.Instance.ID, kind, i.Outcome.String())
		},
	})
}
