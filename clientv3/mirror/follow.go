package mirror

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// leaseCheck is the time between two checks of the target's leases.
const leaseCheck = 500 * time.Millisecond

// follow applies the changes after rev until it fails.
func (m *mirror) follow(ctx context.Context, rev int64) error {
	from := clientv3.WithRev(rev + 1)
	if m.listed != nil {
		from = clientv3.WithListing(m.listed)
	}
	w := follow.Open(ctx, m.source, m.from, clientv3.WithPrefix(), from, clientv3.WithProgressNotify())
	defer w.Close()
	var changes clientv3.WatchChan
	check := time.NewTicker(leaseCheck)
	defer check.Stop()
	for {
		select {
		case changes = <-w.Opened:
		case r, ok := <-changes:
			switch {
			case !ok && ctx.Err() != nil:
				return ctx.Err()
			case !ok:
				return clientv3.ErrClosed
			case r.Err() != nil:
				return r.Err()
			}
			if err := m.apply(ctx, r.Events); err != nil {
				return err
			}
			if r.IsProgressNotify() && r.Header.Revision > m.mark.state.Revision {
				// Nothing changed, but the target shows a newer state.
				if err := m.flush(ctx, &batch{}, r.Header.Revision, true); err != nil {
					return err
				}
			}
		case <-check.C:
			if m.leases.lost() {
				return errCompare
			}
			m.leases.sweep()
		}
	}
}

// apply applies the events of a response, revision by revision. Each transaction has as many as
// fit.
func (m *mirror) apply(ctx context.Context, events []*clientv3.Event) error {
	b := &batch{}
	var done int64 // the revision up to which b is complete
	for len(events) > 0 {
		rev := events[0].Kv.ModRevision
		var keys []string // of the events of rev
		var newest *mvccpb.KeyValue
		size, twice := 0, false
		for _, e := range events {
			if e.Kv.ModRevision != rev {
				break
			}
			key, err := m.targetKey(e.Kv.Key)
			if err != nil {
				return err
			}
			keys = append(keys, key)
			size += len(key) + len(e.Kv.Value)
			twice = twice || b.keys[key]
		}
		if twice || !b.fits(len(keys), size) {
			if err := m.flush(ctx, b, done, true); err != nil {
				return err
			}
		}
		for i, key := range keys {
			e := events[i]
			if e.Type == mvccpb.Event_PUT {
				newest = e.Kv
			}
			if key == "" {
				continue
			}
			if !b.fits(1, len(key)+len(e.Kv.Value)) { // only if this revision alone is too great
				if err := m.flush(ctx, b, rev-1, true); err != nil {
					return err
				}
			}
			if e.Type == mvccpb.Event_DELETE {
				m.leases.drop(key)
				b.delete(key)
				continue
			}
			lease, err := m.leases.of(ctx, key, e.Kv)
			if err != nil {
				return err
			}
			b.put(key, e.Kv, lease)
		}
		if newest != nil {
			b.witness = newest
		}
		events, done = events[len(keys):], rev
	}
	if len(b.ops) == 0 {
		return nil
	}
	return m.flush(ctx, b, done, true)
}
