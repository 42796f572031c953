package clientv3

import (
	"context"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// GetStreamChan delivers the chunks of a GetStream.
type GetStreamChan <-chan RangeStreamResponse

// RangeStreamResponse is one chunk of a GetStream. Its Kvs continue those of the
// chunks before; Header, More and Count are set on the last chunk only.
type RangeStreamResponse struct {
	*pb.RangeResponse

	err error
}

// Err is why the stream ended early, set only on a last response without a
// RangeResponse.
func (r *RangeStreamResponse) Err() error { return r.err }

// GetStreamToGetResponse reads a stream to its end and joins the chunks.
func GetStreamToGetResponse(stream GetStreamChan) (*GetResponse, error) {
	all := &pb.RangeResponse{}
	for r := range stream {
		if r.err != nil {
			return nil, r.err
		}
		all.Kvs = append(all.Kvs, r.Kvs...)
		if r.Header != nil {
			all.Header, all.More, all.Count = r.Header, r.More, r.Count
		}
	}
	if all.Header == nil {
		return nil, &etcderr.Error{
			Method: "KV.RangeStream",
			Status: codes.DataLoss,
			Reason: "the stream ended without its last chunk",
		}
	}
	return (*GetResponse)(all), nil
}

// streamAhead is how many chunks wait for a consumer; more would only be memory.
const streamAhead = 1

func (kv *kv) GetStream(ctx context.Context, key string, opts ...OpOption) (GetStreamChan, error) {
	op := OpGet(key, opts...)
	if err := ready(ctx, "KV.RangeStream", &op); err != nil {
		return nil, err
	}
	stream, err := kv.remote.RangeStream(ctx, op.toRangeRequest(), kv.callOpt...)
	if err != nil {
		return nil, ContextError(ctx, err)
	}
	ch := make(chan RangeStreamResponse, streamAhead)
	// The goroutine ends with the stream, with the consumer's interest (ctx), and
	// with the client.
	started := kv.c.spawn(func(client context.Context) {
		defer close(ch)
		send := func(r RangeStreamResponse) bool {
			select {
			case ch <- r:
				return true
			case <-ctx.Done():
			case <-client.Done():
			}
			return false
		}
		if err := forward(stream, send); err != nil {
			last := RangeStreamResponse{err: ContextError(ctx, err)}
			for !send(last) { // a consumer that still reads has to learn the reason
				select {
				case ch <- last:
					return
				case <-ch: // before a chunk that is of no use without those that follow
				}
			}
		}
	})
	if !started {
		return nil, etcderr.Closed("KV.RangeStream")
	}
	return ch, nil
}

// forward passes chunks on until the stream ends.
func forward(stream pb.KV_RangeStreamClient, send func(RangeStreamResponse) bool) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		r := m.GetRangeResponse()
		if r == nil {
			r = &pb.RangeResponse{}
		}
		send(RangeStreamResponse{RangeResponse: r}) // if refused, the next recv fails by the same context
	}
}
