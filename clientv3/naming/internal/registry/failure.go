package registry

import (
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	pauseBase = 50 * time.Millisecond

	// PauseMax is the longest pause between attempts. Within a second after an outage the records
	// are to be right again; an attempt takes time too, so it is half a second.
	PauseMax = 500 * time.Millisecond

	// RefusedPauseMax is the longest pause after etcd has refused, for instance because a
	// permission is missing: only an operator can change that.
	RefusedPauseMax = 5 * time.Second
)

// Pause waits before the next attempt after a number of failures in a row, counted
// from 0. It returns early when the follower or the client ends.
func (f *Follower) Pause(failures int, longest time.Duration) {
	t := time.NewTimer(backoff.Policy{Base: pauseBase, Max: longest}.Wait(failures))
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.ctx.Done():
	case <-f.client.Ctx().Done():
	}
}

// Refused reports whether etcd refused, and would refuse again.
func Refused(err error) bool {
	switch clientv3.Code(err) {
	case codes.PermissionDenied,
		codes.Unauthenticated,
		codes.InvalidArgument,
		codes.FailedPrecondition,
		codes.Unimplemented:
		return true
	}
	return false
}
