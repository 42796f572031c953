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
	// triesPerMember times the number of members is how often an operation is asked again. Members
	// are picked at random; after that many tries each was asked.
	triesPerMember = 5
	// statusTime bounds the question to the members. Calls must end soon after their contexts,
	// which this function does not have.
	statusTime = 100 * time.Millisecond
)

// NewOrderViolationSwitchEndpointClosure returns a function that lets a call ask other members, as
// long as one of them may have the revision. It asks all of c's endpoints for their revisions,
// which takes at most 100 ms. If all reachable ones are behind, or if an operation was tried five
// times for each endpoint, the call returns [ErrNoGreaterRev].
func NewOrderViolationSwitchEndpointClosure(c *clientv3.Client) OrderViolationFunc {
	s := &switcher{c: c}
	return func(_ clientv3.Op, _ clientv3.OpResponse, prevRev int64) error { return s.violated(prevRev) }
}

type switcher struct {
	c *clientv3.Client

	mu    sync.Mutex
	rev   int64 // guarded by mu; the revision of the last operation
	tries int   // guarded by mu; of that operation
}

func (s *switcher) violated(rev int64) error {
	endpoints := s.c.Endpoints()
	s.mu.Lock()
	if rev != s.rev {
		s.rev, s.tries = rev, 0
	}
	s.tries++
	over := s.tries > triesPerMember*len(endpoints)
	if over {
		s.tries = 0 // the next operation has tries of its own
	}
	s.mu.Unlock()
	if over || !s.hope(endpoints, rev) {
		return ErrNoGreaterRev
	}
	return nil
}

// hope reports whether a member has reached rev, or may have.
func (s *switcher) hope(endpoints []string, rev int64) bool {
	ctx, cancel := context.WithTimeout(clientv3.WithFailFast(s.c.Ctx()), statusTime)
	defer cancel()
	group := worker.New(ctx)
	defer group.Stop()
	answers := make(chan bool, len(endpoints))
	for _, ep := range endpoints {
		group.Go(func(ctx context.Context) {
			r, err := s.c.Status(ctx, ep)
			// A member that refuses connections cannot be asked. A member that is silent, or whose
			// answer has no revision, may have reached it.
			answers <- err == nil && r.Header.GetRevision() >= rev ||
				err != nil && clientv3.Code(err) != codes.Unavailable
		})
	}
	for range endpoints {
		if <-answers {
			return true
		}
	}
	return false
}
