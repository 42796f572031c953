package mirror

import (
	"context"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// Syncer delivers the keys of a cluster and their changes.
type Syncer interface {
	// SyncBase delivers the keys as they are at one revision, up to 1000 in each response, in the
	// order of keys. Without a revision from NewSyncer it is the store's revision at the time of
	// the call, which returns when the cluster has answered or ctx has ended. Both channels are
	// closed at the end. Before that the second one gets the error if there was one
	// (rpctypes.ErrCompacted if the revision was compacted meanwhile). The first one holds up to
	// 1024 unread responses; if there are more, it must be read to its end or ctx cancelled.
	SyncBase(ctx context.Context) (<-chan *clientv3.GetResponse, chan error)

	// SyncUpdates watches the keys from the revision after that of NewSyncer or SyncBase. Without a
	// revision from NewSyncer it must be called after SyncBase has returned; else the watch ends at
	// once with an error.
	SyncUpdates(ctx context.Context) clientv3.WatchChan
}

// pageSize is the number of keys in a response of SyncBase.
const pageSize = 1000

// baseBuffer is how many pages of SyncBase wait for their reader: enough for a million keys, so
// that a reader may wait for the error first.
const baseBuffer = 1024

// NewSyncer returns a Syncer of the keys that begin with prefix; all keys if it is empty. rev is
// the revision to begin with; 0 stands for the store's revision at the time of SyncBase.
func NewSyncer(c *clientv3.Client, prefix string, rev int64) Syncer {
	s := &syncer{c: c, prefix: prefix}
	s.rev.Store(rev)
	return s
}

type syncer struct {
	c      *clientv3.Client
	prefix string
	rev    atomic.Int64 // 0: not known yet
}

func (s *syncer) SyncBase(ctx context.Context) (<-chan *clientv3.GetResponse, chan error) {
	out := make(chan *clientv3.GetResponse, baseBuffer)
	failed := make(chan error, 1)
	end := func(err error) {
		if err != nil {
			failed <- err
		}
		close(out)
		close(failed)
	}
	p := follow.PrefixPages(s.c.KV, s.prefix)
	p.Size, p.Rev = pageSize, s.rev.Load()
	if p.Rev == 0 {
		first, err := p.Next(ctx) // says the revision
		if err != nil {
			end(err)
			return out, failed
		}
		s.rev.Store(p.Rev)
		out <- first
	}
	go func() { end(s.rest(ctx, p, out)) }()
	return out, failed
}

// rest delivers the pages that are left.
func (s *syncer) rest(ctx context.Context, p *follow.Pages, out chan<- *clientv3.GetResponse) error {
	for p.More() {
		r, err := p.Next(ctx)
		if err != nil {
			return err
		}
		select {
		case out <- r:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.c.Ctx().Done():
			return clientv3.ErrClosed
		}
	}
	return nil
}

func (s *syncer) SyncUpdates(ctx context.Context) clientv3.WatchChan {
	rev := s.rev.Load()
	if rev == 0 {
		out := make(chan clientv3.WatchResponse, 1)
		out <- clientv3.WatchResponse{
			Canceled: true, CancelReason: "mirror: SyncUpdates was called before SyncBase, without a revision",
		}
		close(out)
		return out
	}
	return s.c.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
}

// pager reads the keys under a prefix one by one, in their order, all at one revision.
type pager struct {
	*follow.Pages
	buf []*mvccpb.KeyValue
}

func newPager(kv clientv3.KV, prefix string) *pager {
	return &pager{Pages: follow.PrefixPages(kv, prefix)}
}

// next returns the next key, nil after the last one.
func (p *pager) next(ctx context.Context) (*mvccpb.KeyValue, error) {
	for len(p.buf) == 0 {
		if !p.More() {
			return nil, nil
		}
		r, err := p.Next(ctx)
		if err != nil {
			return nil, err
		}
		p.buf = r.Kvs
	}
	kv := p.buf[0]
	p.buf = p.buf[1:]
	return kv, nil
}
