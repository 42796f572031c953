package mirror

// A mirror within one cluster must not write where it reads: it would copy its copies without end,
// and a comparison would delete keys of the source that have no copy. What counts are the keys as
// etcd has them. The clients' names do not show it, since either client may stand behind namespaces
// or other wrappers.
//
// Two clusters may have the same id, if one is a restored backup of the other. So where the names
// overlap, a lease of the target is looked for in the source. To have a lease or to look at one
// needs no permission, and changes neither keys nor the revision.

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/realkeys"
)

// apart returns an error if the mirror would read what it writes, in clusters of the same id.
func (m *mirror) apart(ctx context.Context) error {
	from, to := realkeys.Of(ctx, m.source.KV, m.from), realkeys.Of(ctx, m.target.KV, *m.to)
	mark := realkeys.Of(ctx, m.target.KV, m.mark.key)
	if !strings.HasPrefix(from, to) && !strings.HasPrefix(to, from) && !strings.HasPrefix(mark, from) {
		return nil
	}
	one, err := m.oneCluster(ctx)
	if err != nil || !one {
		return err
	}
	return fmt.Errorf("mirror: source prefix %q overlaps target prefix %q or checkpoint %q in the same cluster",
		from, to, mark)
}

const (
	// proofTTL is the time to live of the lease that shows whether source and target are one
	// cluster, in seconds. It is revoked at once, if the target answers within proofEnd.
	proofTTL = 30
	proofEnd = 2 * time.Second
	// A source that does not know the lease is asked proofRounds times, proofPause apart: a new
	// leader may not have executed all yet.
	proofRounds = 3
	proofPause  = 100 * time.Millisecond
)

// oneCluster reports whether source and target are the same cluster: whether the source has a lease
// of the target.
func (m *mirror) oneCluster(ctx context.Context) (bool, error) {
	lease, err := m.target.Grant(ctx, proofTTL)
	if err != nil {
		return false, err
	}
	defer func() {
		bounded, cancel := context.WithTimeout(ctx, proofEnd)
		defer cancel()
		_, _ = m.target.Revoke(bounded, lease.ID) // else it expires
	}()
	for range proofRounds {
		r, err := m.source.TimeToLive(ctx, lease.ID)
		if err != nil || r.TTL >= 0 {
			return err == nil, err
		}
		if r, err = m.target.TimeToLive(ctx, lease.ID); err != nil {
			return false, err
		}
		if r.TTL < 0 {
			return false, errUnproved // the source took longer than the lease lives
		}
		if err := backoff.Sleep(ctx, proofPause); err != nil {
			return false, err
		}
	}
	return false, nil
}

// sourceName is the source's prefix as it stands in a checkpoint, as etcd has it.
func (m *mirror) sourceName(ctx context.Context) string {
	from := realkeys.Of(ctx, m.source.KV, m.from)
	if !utf8.ValidString(from) {
		return fmt.Sprintf("%q", from) // JSON has no other bytes
	}
	return from
}
