package ordering

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// triesPerMember times the number of members is how often an operation is asked again in the
	// hope of a silent member. Members are picked at random; after that many tries each was asked.
	triesPerMember = 5
	// statusTime bounds the question to the members. Calls must end soon after their contexts,
	// which this function does not have.
	statusTime = 100 * time.Millisecond
)

// NewOrderViolationSwitchEndpointClosure returns a function that lets a call ask other members, as
// long as one of them may have the revision. It asks all of c's endpoints for their revisions,
// which takes at most 100 ms. If all reachable ones are behind, the call returns [ErrNoGreaterRev].
// One that is silent may have it, so that is believed for five tries for each endpoint.
func NewOrderViolationSwitchEndpointClosure(c *clientv3.Client) OrderViolationFunc {
	s := &switcher{c: c}
	return func(_ clientv3.Op, _ clientv3.OpResponse, prevRev int64) error { return s.violated(prevRev) }
}

type switcher struct {
	c *clientv3.Client

	mu    sync.Mutex
	rev   int64 // guarded by mu; the revision of the last operation
	tries int   // guarded by mu; since a member had that revision, or it was given up
}

func (s *switcher) violated(rev int64) error {
	endpoints := s.c.Endpoints()
	has, may := s.look(endpoints, rev)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tries++; rev != s.rev {
		s.rev, s.tries = rev, 1
	}
	switch {
	case has:
		s.tries = 0 // the operation comes to that member
	case !may || s.tries > triesPerMember*len(endpoints):
		s.tries = 0
		return ErrNoGreaterRev
	}
	return nil
}

// look reports whether a member has reached rev, or may have.
func (s *switcher) look(endpoints []string, rev int64) (has, may bool) {
	ctx, cancel := context.WithTimeout(clientv3.WithFailFast(s.c.Ctx()), statusTime)
	defer cancel()
	group := worker.New(ctx)
	defer group.Stop()
	type answer struct{ has, may bool }
	answers := make(chan answer, len(endpoints))
	for _, ep := range endpoints {
		group.Go(func(ctx context.Context) {
			r, err := s.c.Status(ctx, ep)
			// A member that refuses connections cannot be asked. A member that is silent, or whose
			// answer has no revision, may have reached it.
			answers <- answer{
				has: err == nil && r.Header.GetRevision() >= rev,
				may: err != nil && clientv3.Code(err) != codes.Unavailable,
			}
		})
	}
	for range endpoints {
		a := <-answers
		if may = may || a.may; a.has {
			return true, may
		}
	}
	return false, may
}
