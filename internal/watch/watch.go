// Package watch is the watch engine: it keeps any number of watchers alive over
// few Watch streams and resumes each of them exactly where it stopped.
//
// The package has two halves. The core (core.go and the files it names) is a
// deterministic state machine: it has no clock, no goroutine and does no I/O; it
// takes inputs such as "this response arrived" and returns a list of actions such
// as "send this request". The shell (engine.go, stream.go, pump.go) owns the
// goroutines, the lock and the timers, feeds the core and carries out its
// actions. Scenario files in testdata/ describe the core's behaviour; the shell is
// tested with streams that live in memory.
//
// The engine promises for each watcher:
//   - Events arrive in the order of their revisions, none lost and none twice,
//     whatever happens to streams and members. The one exception is history the
//     server no longer has: that ends the watcher with an error, after everything
//     that was received before.
//   - A slow consumer delays nobody else, and what is held for slow consumers is
//     bounded in bytes (see Config.BufferLimit).
//   - Sink.End is called exactly once, after the last delivery returned.
package watch

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/internal/duplex"
)

// Stream is one Watch RPC. The engine sends from one goroutine and receives from
// another.
type Stream = duplex.Stream[*pb.WatchRequest, *pb.WatchResponse]

// OpenOptions says what kind of stream to open.
type OpenOptions struct {
	// Group is opaque to the engine: watchers of one group share streams.
	Group string
	// RequireLeader asks the server to end the stream when it has no leader, so that
	// its watches move. It is false only while no reachable member has one.
	RequireLeader bool
	// Avoid lists members whose streams just failed. It is a preference only.
	Avoid []string
}

// Verdict says what an error means for the watchers concerned.
type Verdict int

const (
	// Retry: open another stream and resume.
	Retry Verdict = iota
	// NoLeader: this member has no leader; another one may have.
	NoLeader
	// Fatal: trying again cannot help; the watchers end with the error.
	Fatal
	// TooLarge: a response was above the limit for messages. The watchers resume in fragments; if
	// they have been asked for already it is Fatal.
	TooLarge
	// Blameless: as Retry, and the stream's member need not be avoided.
	Blameless
)

// DefaultBufferLimit bounds the undelivered events of one engine. 64 MiB is far
// above what a consumer with a hiccup of some seconds needs and far below what
// hurts a server process.
const DefaultBufferLimit = 64 << 20

// Config holds what the engine needs from outside. Open, Judge and Cancelled
// must be set. All functions may be called concurrently; Members alone is called
// under the engine's lock.
type Config struct {
	// Open opens a stream. ctx lives as long as the stream: cancelling it ends the
	// stream. Open may block, waiting for a usable member, until ctx ends.
	Open func(ctx context.Context, o OpenOptions) (Stream, error)

	// Judge returns the meaning of a stream's error.
	Judge func(error) Verdict

	// Cancelled returns the meaning of the server's cancel_reason, which is never empty, and an
	// error for it. Upon Retry the watcher, and with it all others of its group, resumes on another
	// stream. So Retry is only for reasons that another stream cures, such as an expired token
	// (Open gets a new one).
	Cancelled func(reason string) (Verdict, error)

	// Members returns how many members are known. A watch that requires a leader ends only when
	// that many different members, or all reachable ones, have reported since the last good stream
	// that they have no leader. nil: the number is unknown, and only a second report by the same
	// member ends the watch. Members is called under the engine's lock, so it must not block and
	// must not call the engine.
	Members func() int

	// Confirm asks the cluster the question of a Check, by linearizable reads as the group's user.
	// It is called before watchers resume on a new stream. Judge returns the meaning of its error.
	// nil: lost history goes unnoticed.
	Confirm func(ctx context.Context, group string, c Check) (Finding, error)

	// BufferLimit bounds the bytes of undelivered events that the engine holds; 0
	// means DefaultBufferLimit. Past it the watcher with the most bytes waiting is
	// parked: the server stops sending to it, and it resumes from its position when
	// its consumer has caught up.
	BufferLimit int64

	// Log gets lines for operators; nil: nothing is logged.
	Log *zap.Logger
}

// Request is one watch as the facade asks for it. The engine does not change it
// and keeps no reference to Create.
type Request struct {
	_ [0]func() // not comparable, see balancer.conn
	// Create gives key, range_end, start_revision, progress_notify, filters, prev_kv and fragment.
	// watch_id is ignored: the engine chooses ids. Whether fragments are asked for is the engine's
	// affair; fragment asks to join them again.
	Create *pb.WatchCreateRequest
	// Group names the watchers that may share a stream with this one.
	Group string
	// RequireLeader ends the watcher when no reachable member has a leader.
	RequireLeader bool
	// CreatedNotify delivers the server's created response, once.
	CreatedNotify bool
	// Listing is the user's earlier read; Create's start revision is the one after it. If nothing
	// can prove that the watch goes on in the history of the listing, the watcher ends as if its
	// revisions were compacted. nil: none.
	Listing *Listing
}

// Delivery is one response for the user. It may be shared between watchers, so a
// sink must not change Resp.
type Delivery struct {
	_ [0]func() // not comparable, see balancer.conn
	// Resp is never nil. On the last delivery of a watcher that ended by failure
	// Canceled is set, CompactRevision and CancelReason where they are known.
	Resp *pb.WatchResponse
	// Err is the reason on the last delivery of a watcher that ended by failure. It
	// is nil when the server ended the watcher and gave no text (a compaction).
	Err error
}

// Sink is the consumer side of one watcher. The engine calls it from one goroutine
// at a time. TryDeliver and End run under the engine's lock: they must not block
// and must not call the engine.
type Sink interface {
	// TryDeliver delivers without blocking; false if it would block.
	TryDeliver(Delivery) bool
	// Deliver blocks until d was taken (true) or stop was closed (false).
	Deliver(d Delivery, stop <-chan struct{}) bool
	// End is called exactly once, after the last delivery returned.
	End()
}

// ErrClosed is returned by calls on a closed engine.
var ErrClosed = errors.New("watch: engine closed")

// HistoryLostError ends a watcher whose cluster does not have the history any more that the watcher
// has seen: the cluster was restored from a snapshot, or replaced. The consumer's state is of
// another history, and it must list again.
type HistoryLostError struct {
	LastRevision int64  // the last revision that this watcher knew
	ClusterID    uint64 // the cluster it was watching
	NowRevision  int64  // the revision of the cluster that answers now
	NowClusterID uint64 // and its id
}

func (e *HistoryLostError) Error() string {
	if e.ClusterID != e.NowClusterID {
		return fmt.Sprintf("watch: history lost: cluster %x was replaced by cluster %x", e.ClusterID, e.NowClusterID)
	}
	if e.NowRevision >= e.LastRevision {
		return fmt.Sprintf(
			"watch: history lost: what was seen up to revision %d is not in the history of now, at revision %d",
			e.LastRevision,
			e.NowRevision,
		)
	}
	return fmt.Sprintf("watch: history lost: revision went back from %d to %d", e.LastRevision, e.NowRevision)
}

// ErrHistoryLost is what errors.Is matches for every *HistoryLostError.
var ErrHistoryLost = errors.New("watch: history lost")

// Is makes errors.Is(err, ErrHistoryLost) true.
func (e *HistoryLostError) Is(target error) bool { return target == ErrHistoryLost }
