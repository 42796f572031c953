package ordering

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// GetStream is that of clientv3.KV. A stream's revision is known only at its end, when it is too
// late to ask again. So a serializable stream asks for exactly the revision that was seen last, and
// a member that lags behind refuses it before the first chunk. GetStream returns when the first
// chunk has arrived. A stream that is neither read to its end nor cancelled keeps its goroutine,
// even when the client is closed.
func (o *orderedKV) GetStream(
	ctx context.Context,
	key string,
	opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	op := clientv3.OpGet(key, opts...)
	prev := o.seen.Load()
	for n := 0; ; n++ {
		asked := opts
		pinned := op.IsSerializable() && op.Rev() == 0 && prev > 0
		if pinned {
			asked = append(append([]clientv3.OpOption{}, opts...), clientv3.WithRev(prev))
		}
		in, err := o.KV.GetStream(ctx, key, asked...)
		if err != nil {
			return nil, err
		}
		first, more := <-in // closed when ctx ends
		switch err := first.Err(); {
		case pinned && errors.Is(err, rpctypes.ErrFutureRev):
			behind := (&clientv3.GetResponse{Header: &pb.ResponseHeader{}}).OpResponse()
			if err := o.violated(op, behind, prev); err != nil {
				return nil, err
			}
			if err := o.catchUp(ctx, op, n); err != nil {
				return nil, err
			}
			continue
		case pinned && errors.Is(err, rpctypes.ErrCompacted):
			// The revision was compacted, so there are newer ones: learn one of them.
			if _, err := o.Get(ctx, key, clientv3.WithSerializable(), clientv3.WithCountOnly()); err != nil {
				return nil, err
			}
			if now := o.seen.Load(); now > prev {
				prev = now
				continue
			}
			return nil, err
		}
		out := make(chan clientv3.RangeStreamResponse, 1)
		if !more {
			close(out)
			return out, nil
		}
		go o.forward(ctx, first, in, out)
		return out, nil
	}
}

func (o *orderedKV) forward(
	ctx context.Context,
	r clientv3.RangeStreamResponse,
	in clientv3.GetStreamChan,
	out chan<- clientv3.RangeStreamResponse,
) {
	defer close(out)
	for more := true; more; r, more = <-in {
		if r.RangeResponse != nil {
			o.saw(r.Header.GetRevision())
		}
		select {
		case out <- r:
		case <-ctx.Done():
			return
		}
	}
}
