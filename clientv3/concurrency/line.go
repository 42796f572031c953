package concurrency

// Waiting in line.

import (
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// newest are the options for the latest n keys of a prefix.
func newest(n int64) []v3.OpOption {
	return []v3.OpOption{
		v3.WithPrefix(),
		v3.WithSort(v3.SortByCreateRevision, v3.SortDescend),
		v3.WithLimit(n),
		v3.WithKeysOnly(),
	}
}

// ahead returns the key just ahead of the claim under the prefix, nil if there is none, as
// of the header's revision. It fails with a claim that is lost.
func (c *Claim) ahead(ctx context.Context, prefix string) (*mvccpb.KeyValue, *pb.ResponseHeader, error) {
	r, h, err := c.before(ctx, prefix, newest(1)...)
	if len(r.GetKvs()) == 0 {
		return nil, h, err
	}
	return r.Kvs[0], h, nil
}

// before asks for the keys under the prefix that were put before the claim's.
func (c *Claim) before(
	ctx context.Context,
	prefix string,
	opts ...v3.OpOption,
) (*pb.RangeResponse, *pb.ResponseHeader, error) {
	r, err := c.s.client.Txn(ctx).
		If(c.IsOwner()).
		Then(v3.OpGet(prefix, append(opts, v3.WithMaxCreateRev(c.rev-1))...)).
		Commit()
	if err != nil {
		return nil, nil, err
	}
	if !r.Succeeded {
		c.lost()
		return nil, nil, c.ended(ctx)
	}
	return r.Responses[0].GetResponseRange(), r.Header, nil
}

// turn returns when the claim is the first under the prefix. ahead is the key ahead of it when it
// entered, nil if unknown. turn waits for the key just ahead, so that the end of one wakes one. It
// returns the header of the answer that showed the turn, if it had to ask.
func (c *Claim) turn(ctx context.Context, prefix string, ahead *mvccpb.KeyValue) (*pb.ResponseHeader, error) {
	header, line := c.header, c.line
	for {
		if ahead == nil {
			var err error
			line = v3.NewListing(0)
			if ahead, header, err = c.ahead(ctx, prefix); err != nil || ahead == nil {
				return header, err
			}
		}
		first := func(*v3.Event) bool { return true }
		seen := v3.WithListing(listing(line, header, ahead))
		if err := c.awaitDelete(ctx, first, string(ahead.Key), seen); err != nil {
			return nil, err
		}
		ahead = nil
	}
}

// crowd returns when fewer than n keys under the prefix are ahead of the claim. Those go
// in any order, so it sees all deletions under the prefix, and counts.
func (c *Claim) crowd(ctx context.Context, prefix string, n int64) error {
	for {
		line := v3.NewListing(0)
		r, h, err := c.before(ctx, prefix, v3.WithPrefix(), v3.WithKeysOnly())
		if err != nil {
			return err
		}
		ahead := int64(len(r.Kvs)) // Count ignores the create revision
		if ahead < n {
			return nil
		}
		enough := func(ev *v3.Event) bool {
			if ev.PrevKv == nil || ev.PrevKv.CreateRevision < c.rev {
				ahead--
			}
			return ahead < n
		}
		if err := c.awaitDelete(ctx, enough, prefix, v3.WithPrefix(), v3.WithPrevKV(),
			v3.WithListing(listing(line, h, r.Kvs...))); err != nil {
			return err
		}
	}
}

// listing adds read keys to l, which was begun before the read: some keys of a range that has more.
func listing(l *v3.Listing, h *pb.ResponseHeader, kvs ...*mvccpb.KeyValue) *v3.Listing {
	l.Add(&v3.GetResponse{Header: h, Kvs: kvs, Count: int64(len(kvs))})
	return l
}

// awaitDelete returns when enough was deleted, or may have been.
func (c *Claim) awaitDelete(ctx context.Context, enough func(*v3.Event) bool, key string, opts ...v3.OpOption) error {
	w := follow.Open(ctx, c.s.client, key, append(opts, v3.WithFilterPut())...)
	defer w.Close()
	var changes v3.WatchChan
	for {
		select {
		case changes = <-w.Opened:
		case r, ok := <-changes:
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case !ok || r.Err() != nil:
				c.s.watchFailed(r.Err())
				return backoff.Sleep(ctx, lookAgain)
			case slices.ContainsFunc(r.Events, enough):
				return nil
			}
		case <-c.ctx.Done():
			return c.ended(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
