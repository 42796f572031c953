package namespace

import (
	"bytes"
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

// NewLease returns a Lease whose TimeToLive lists only the attached keys that begin with prefix,
// without the prefix. Leases themselves have no prefix: Leases lists all leases of the cluster, and
// Revoke deletes all keys of a lease. Close closes l.
func NewLease(l clientv3.Lease, prefix string) clientv3.Lease {
	if prefix == "" {
		return l
	}
	return &lease{Lease: l, space: space(prefix)}
}

type lease struct {
	clientv3.Lease
	space space
}

func (l *lease) TimeToLive(
	ctx context.Context,
	id clientv3.LeaseID,
	opts ...clientv3.LeaseOption,
) (*clientv3.LeaseTimeToLiveResponse, error) {
	r, err := l.Lease.TimeToLive(ctx, id, opts...)
	if err != nil {
		return nil, err
	}
	keys := r.Keys[:0]
	for _, k := range r.Keys {
		if short, ok := bytes.CutPrefix(k, []byte(l.space)); ok && len(short) > 0 {
			keys = append(keys, short)
		}
	}
	r.Keys = keys
	return r, nil
}

// ValidUntil answers clientv3.LeaseValidUntil.
func (l *lease) ValidUntil(id clientv3.LeaseID) (time.Time, bool) {
	return clientv3.LeaseValidUntil(l.Lease, id)
}

// Streams answers package relapse.
func (l *lease) Streams() uint64 { return relapse.Streams(l.Lease) }

// Proxied answers package relapse.
func (l *lease) Proxied() bool { return relapse.Proxied(l.Lease) }
