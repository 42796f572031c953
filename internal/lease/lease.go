// Package lease is the lease engine: it renews any number of leases over few LeaseKeepAlive
// streams, and reports a loss early and correctly.
//
// All of this serves one invariant: a holder learns of the loss before any other client can own its
// keys. The server restarts a lease's TTL when it handles a renewal, which is never before the
// renewal was sent. So the engine counts the TTL from the moment the last acknowledged renewal was
// sent, by the monotonic clock, and reports the lease lost at that deadline at the latest; the
// server expires it at that moment at the earliest.
package lease

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/internal/duplex"
)

// Stream is one LeaseKeepAlive RPC. The engine sends from one goroutine and
// receives from another.
type Stream = duplex.Stream[*pb.LeaseKeepAliveRequest, *pb.LeaseKeepAliveResponse]

// Verdict says what a stream error means for the leases on it.
type Verdict int

const (
	// Retry: open another stream and send the renewals again.
	Retry Verdict = iota
	// Fatal: trying again cannot help; the leases end with the error.
	Fatal
	// Denied: the user may not renew one of the leases, and the others may go on.
	Denied
	// Blameless is Retry, where any member would have failed the same way: an expired token. The
	// member need not be avoided.
	Blameless
)

// Reason says why a kept lease ended.
type Reason int

const (
	// Expired: the server answered that the lease does not exist.
	Expired Reason = iota + 1
	// Revoked: this client revoked it.
	Revoked
	// Unrenewed: no renewal was acknowledged within the TTL, counted from the sending of the last
	// acknowledged one.
	Unrenewed
	// Halted: an error that a repetition cannot correct.
	Halted
	// Closed: the engine was closed.
	Closed
	// Cancelled: the context of the KeepAlive call ended.
	Cancelled
)

func (r Reason) String() string {
	switch r {
	case Expired:
		return "expired"
	case Revoked:
		return "revoked"
	case Unrenewed:
		return "unrenewed"
	case Halted:
		return "halted"
	case Closed:
		return "closed"
	case Cancelled:
		return "cancelled"
	}
	return "unknown"
}

// Config is what the engine needs from outside. Open and Judge must be set. All functions may be
// called concurrently.
type Config struct {
	// Open opens a stream, the leader preferred. ctx lives as long as the stream:
	// cancelling it ends the stream. Open may block until ctx ends. avoid lists
	// members whose streams were silent or failed; it is a preference only.
	Open func(ctx context.Context, avoid []string) (Stream, error)

	// Judge says what an error of Open or of a stream means.
	Judge func(error) Verdict

	// FirstAnswer is how long a lease whose TTL is unknown may stay without an
	// answer before it is reported lost as unrenewed; 0 means DefaultFirstAnswer.
	FirstAnswer time.Duration

	// Log gets lines that are useful for an operator; nil: nothing is logged.
	Log *zap.Logger
}

// DefaultFirstAnswer bounds the wait for the first answer: the 5 s that etcd's
// own tools allow for a connection, and 1 s for the call.
const DefaultFirstAnswer = 6 * time.Second

// Sink is notified of the events of one kept lease. Its methods must not block and must not call
// the engine; they are called under the engine's lock, so one at a time.
type Sink interface {
	// Renewed passes on an acknowledged renewal, never after Ended. Sinks of one
	// lease share the response and must not change it.
	Renewed(*pb.LeaseKeepAliveResponse)
	// AtRisk is called when a renewal was not acknowledged in time and is tried elsewhere: the
	// lease still exists, but how long depends on that. It is called once until the next Renewed,
	// which means that the lease is out of danger.
	AtRisk()
	// Ended is called exactly once: with the reason of the loss, or with Cancelled and the
	// context's error when the caller's context ended first. err is nil if the reason is
	// sufficient.
	Ended(Reason, error)
}

// ErrClosed is returned by calls on a closed engine.
var ErrClosed = errors.New("lease: engine closed")
