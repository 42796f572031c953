package concurrency

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// TestDeniedAttendantTriesRarely: many locks whose keys their owner may not read would otherwise
// keep the servers busy until somebody changes the role.
func TestDeniedAttendantTriesRarely(t *testing.T) {
	for _, err := range []error{rpctypes.ErrPermissionDenied, rpctypes.ErrGRPCPermissionDenied} {
		if first, later := waitAfter(err).Ceiling(0), waitAfter(err).Ceiling(20); first > 50*time.Millisecond ||
			later != 10*time.Second {
			t.Errorf("%v: %v, later %v", err, first, later)
		}
	}
	for _, err := range []error{rpctypes.ErrNoLeader, errWatchEnded, errors.New("other")} {
		if later := waitAfter(err).Ceiling(20); later != time.Second {
			t.Errorf("%v: %v", err, later)
		}
	}
}
