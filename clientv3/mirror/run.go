package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

var (
	// ErrTargetNotEmpty is the cause (errors.Is) of the error for a target that holds
	// keys that no mirror of this source has written. [WithReconcile] replaces them.
	ErrTargetNotEmpty = errors.New("mirror: the target already holds data")

	// ErrConflict is returned when something else wrote the checkpoint: another mirror
	// with the same target.
	ErrConflict = errors.New("mirror: another mirror writes to the target")
)

// Progress says how far a mirror is.
type Progress struct {
	// Revision is the source's revision that the target shows. While both sides are compared it is
	// the one that the target shows at the comparison's end. After an interruption it may go back
	// for a while.
	Revision int64
	// Comparing: both sides are being compared; the target is not complete yet.
	Comparing bool
	// Comparisons, Puts and Deletes count what was done since Run began.
	Comparisons, Puts, Deletes int64
}

// marks is what the default keys of checkpoints begin with.
const marks = "\x00fairlead/mirror/"

// Option changes what Run does.
type Option func(*mirror)

// WithPrefix mirrors only the keys that begin with prefix; by default all.
func WithPrefix(prefix string) Option { return func(m *mirror) { m.from = prefix } }

// WithTargetPrefix gives the keys another prefix in the target, instead of that of
// [WithPrefix]; by default they keep their names.
func WithTargetPrefix(prefix string) Option { return func(m *mirror) { m.to = &prefix } }

// WithReconcile makes the mirror begin with a comparison of both sides, also if the
// target has a checkpoint, and lets the target hold any data: what differs is
// overwritten, what the source does not have is deleted. It is also the way to begin
// with a source that was restored, as a cluster with another id, while no mirror ran.
func WithReconcile() Option { return func(m *mirror) { m.reconcile = true } }

// WithRevision begins with the changes after a revision of the source, for a target
// that already shows that revision, for instance after a restoration. The revision is 1 or more. It
// has no effect if the target has a checkpoint. If the revision was compacted, both sides are
// compared. It does not go with [WithReconcile].
func WithRevision(rev int64) Option {
	return func(m *mirror) {
		if m.rev = rev; rev < 1 {
			m.refused = fmt.Errorf("mirror: changes after revision %d", rev)
		}
	}
}

// WithLeases keeps the leases of keys: the target gets leases of the same ids and
// times to live, kept alive as long as the mirror runs and the source has keys with
// them. If the mirror stops for longer than that, these keys expire in the target; the
// next Run brings them back. Without this option mirrored keys have no lease.
func WithLeases() Option { return func(m *mirror) { m.leases = newLeases(m) } }

// WithCheckpoint names the key of the target that says how far it is. By default it
// is "\x00fairlead/mirror/" and the target prefix. A key of the source that would be
// copied to it is not. Such keys of other mirrors are no data for [ErrTargetNotEmpty],
// but a target prefix that covers them makes them what the source has, like all other keys: a
// mirror whose copy is replaced must not go on from its checkpoint.
func WithCheckpoint(key string) Option {
	return func(m *mirror) {
		if m.mark.key = key; key == "" {
			m.refused = errors.New("mirror: the checkpoint's key is empty")
		}
	}
}

// WithProgress calls f after each transaction, from the goroutine of Run.
func WithProgress(f func(Progress)) Option { return func(m *mirror) { m.onProgress = f } }

// WithoutFollowing makes Run return nil once the target shows the source's present
// state.
func WithoutFollowing() Option { return func(m *mirror) { m.once = true } }

// Run mirrors source to target until ctx ends, and returns its error then. It
// overcomes outages of both sides. Other errors end it: [ErrTargetNotEmpty] (nothing was
// written), [ErrConflict], a closed client (clientv3.ErrClosed), missing permissions,
// a full target, and an invalid argument. So does a mirror that would feed itself, before anything
// is written: a target prefix or checkpoint that overlaps the source prefix in the same cluster.
// The keys are compared as etcd has them, whatever namespaces and other wrappers of a KV the
// clients have; only what etcd's gRPC proxy does with --namespace stays unknown.
func Run(ctx context.Context, source, target *clientv3.Client, opts ...Option) error {
	m := &mirror{source: source, target: target}
	m.mark.state.Writer = rand.Uint64()
	for _, o := range opts {
		if o == nil {
			return errors.New("mirror: an option is nil")
		}
		o(m)
	}
	switch {
	case source == nil || target == nil:
		return errors.New("mirror: a client is nil")
	case m.refused != nil:
		return m.refused
	case m.reconcile && m.rev > 0:
		return fmt.Errorf("mirror: a comparison of both sides does not begin at revision %d", m.rev)
	}
	if m.to == nil {
		m.to = &m.from
	}
	if m.mark.key == "" {
		m.mark.key = marks + *m.to
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the renewal of leases
	if m.leases != nil {
		m.leases.ctx = ctx
	}
	for n := 0; ; n++ {
		err := m.run(ctx, &n)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !again(err):
			return err
		}
		if err := backoff.Sleep(ctx, backoff.Policy{Base: waitBase, Max: waitMax}.Wait(n)); err != nil {
			return err
		}
	}
}

const (
	// waitBase and waitMax bound the wait before a mirror that was interrupted goes on.
	waitBase = 100 * time.Millisecond
	waitMax  = 5 * time.Second
)

type mirror struct {
	source, target *clientv3.Client
	from           string
	to             *string // nil until the options are known
	reconcile      bool
	once           bool
	rev            int64
	refused        error          // an option makes no sense
	onProgress     func(Progress) // may be nil
	leases         *leases        // nil: keys have none
	mark           checkpoint
	listed         *clientv3.Listing // what is known of the source before it is followed; nil: nothing
	progress       Progress
}

// errUnproved is the error when it did not become clear whether source and target are one cluster.
var errUnproved = errors.New("mirror: source and target may be one cluster")

// errCompare asks for a comparison of both sides.
var errCompare = errors.New("mirror: the sides have to be compared")

// again reports that a mirror that was interrupted by err can go on.
func again(err error) bool {
	switch {
	case errors.Is(err, clientv3.ErrClosed), errors.Is(err, rpctypes.ErrNoSpace):
		return false
	case history(err), errors.Is(err, errLate), errors.Is(err, errUnproved),
		errors.Is(err, rpctypes.ErrTooManyRequests):
		return true
	}
	switch clientv3.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Internal:
		return true
	}
	return false
}

// history reports that err says that following cannot go on without a comparison.
func history(err error) bool {
	return errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, clientv3.ErrHistoryLost) ||
		errors.Is(err, errCompare) ||
		errors.Is(err, rpctypes.ErrLeaseNotFound) // one of the target's expired
}

// run goes on from the checkpoint. It sets the count of interruptions back whenever
// both sides agree.
func (m *mirror) run(ctx context.Context, n *int) error {
	rev, err := m.begin(ctx)
	if err != nil {
		return err
	}
	for {
		if rev == 0 || m.once { // once: a comparison also catches up, and ends by itself
			if rev, err = m.compare(ctx); err != nil {
				return err
			}
			m.reconcile = false // the target is ours now
		}
		*n = 0
		if m.once {
			return nil
		}
		if err = m.follow(ctx, rev); !history(err) {
			return err
		}
		if _, err = m.begin(ctx); err != nil { // it may be a cluster of another id now
			return err
		}
		rev = 0
	}
}

// begin finds out from where to follow the source; 0: compare first.
func (m *mirror) begin(ctx context.Context) (int64, error) {
	src, err := m.source.Get(ctx, m.from, clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		return 0, err
	}
	found, own, dst, err := m.mark.load(ctx, m.target)
	if err != nil {
		return 0, err
	}
	if src.Header.ClusterId == dst.ClusterId {
		if err := m.apart(ctx); err != nil {
			return 0, err
		}
	}
	was, name := m.mark.state, m.sourceName(ctx)
	m.mark.state.Cluster, m.mark.state.Prefix = src.Header.ClusterId, name
	m.listed = nil
	switch {
	case m.reconcile || m.mark.damaged:
		return 0, nil
	case own && was.Cluster != src.Header.ClusterId:
		return 0, nil // the source was restored, as another cluster, while we mirrored it
	case found && (was.Cluster != src.Header.ClusterId || was.Prefix != name):
		return 0, fmt.Errorf(
			"%w: it is the mirror of prefix %q of cluster %x",
			ErrTargetNotEmpty,
			was.Prefix,
			was.Cluster,
		)
	case found && m.leases == nil && was.Complete && was.Revision <= src.Header.Revision:
		if same, err := m.proved(ctx, was.Witness); !same {
			return 0, err
		}
		return m.listed.Revision(), nil
	case found:
		return 0, nil // leases may have expired; or history was lost; or the comparison was interrupted
	case m.rev > src.Header.Revision:
		return 0, fmt.Errorf(
			"mirror: the source is at revision %d, before %d: %w",
			src.Header.Revision,
			m.rev,
			rpctypes.ErrFutureRev,
		)
	case m.rev > 0:
		return m.rev, nil // the target is said to hold the keys
	}
	return 0, m.empty(ctx)
}

// empty returns ErrTargetNotEmpty if the target holds data. The checkpoints of mirrors
// to other prefixes of the same cluster, which are below the empty prefix, are none.
func (m *mirror) empty(ctx context.Context) error {
	from, to := cmp.Or(*m.to, "\x00"), clientv3.GetPrefixRangeEnd(*m.to)
	ranges := [][2]string{{from, to}}
	if strings.HasPrefix(marks, *m.to) {
		ranges = [][2]string{{from, marks}, {clientv3.GetPrefixRangeEnd(marks), to}}
	}
	for _, within := range ranges {
		r, err := m.target.Get(
			ctx,
			within[0],
			clientv3.WithRange(within[1]),
			clientv3.WithLimit(1),
			clientv3.WithKeysOnly(),
		)
		if err != nil {
			return err
		}
		if len(r.Kvs) > 0 {
			return fmt.Errorf("%w: key %q and perhaps more", ErrTargetNotEmpty, r.Kvs[0].Key)
		}
	}
	return nil
}

// targetKey is the name of a source's key in the target, "" if it is not copied.
func (m *mirror) targetKey(key []byte) (string, error) {
	to := *m.to + string(key[len(m.from):])
	switch to {
	case "":
		return "", fmt.Errorf("mirror: key %q would have an empty name in the target", key)
	case m.mark.key:
		return "", nil
	}
	return to, nil
}
