package clientv3

import (
	"context"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

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
		return nil, &etcderr.Error{Method: "KV.RangeStream", Status: codes.DataLoss, Reason: "the stream ended without its last chunk"}
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
	req := op.toRangeRequest()
	stream, err := kv.remote.RangeStream(ctx, req, kv.callOpt...)
	if err != nil && etcderr.Code(err) != codes.Unimplemented {
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
		err := err
		if err == nil {
			err = forward(func() (*pb.RangeResponse, error) {
				m, err := stream.Recv()
				return m.GetRangeResponse(), err
			}, send)
		}
		if etcderr.Code(err) == codes.Unimplemented {
			err = kv.pages(ctx, req, send)
		}
		if err != nil {
			last := RangeStreamResponse{err: ContextError(ctx, err)}
			if !send(last) {
				select { // a consumer that still waits shall learn the reason
				case ch <- last:
				default:
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
func forward(recv func() (*pb.RangeResponse, error), send func(RangeStreamResponse) bool) error {
	for {
		r, err := recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if r == nil {
			r = &pb.RangeResponse{}
		}
		send(RangeStreamResponse{RangeResponse: r}) // if refused, the next recv fails by the same context
	}
}

// pageSize is how many keys are read at once from a server that cannot stream.
const pageSize = 1000

// pages reads a range page by page at one revision. Only a range in the order of
// keys can be continued after its last key; any other result comes whole.
func (kv *kv) pages(ctx context.Context, whole *pb.RangeRequest, send func(RangeStreamResponse) bool) error {
	natural := whole.SortOrder == pb.RangeRequest_NONE || (whole.SortOrder == pb.RangeRequest_ASCEND && whole.SortTarget == pb.RangeRequest_KEY)
	if !natural || len(whole.RangeEnd) == 0 || whole.CountOnly {
		resp, err := kv.remote.Range(ctx, whole, kv.callOpt...)
		if err == nil {
			send(RangeStreamResponse{RangeResponse: resp})
		}
		return err
	}
	req := proto.Clone(whole).(*pb.RangeRequest)
	left := whole.Limit
	var first *pb.RangeResponse
	for {
		req.Limit = pageSize
		if whole.Limit > 0 {
			req.Limit = min(pageSize, left)
		}
		resp, err := kv.remote.Range(ctx, req, kv.callOpt...)
		if err != nil {
			return err
		}
		if first == nil {
			first = resp
			req.Revision = resp.Header.Revision // later pages see what the first one saw
			if whole.Revision > 0 {
				req.Revision = whole.Revision
			}
		}
		left -= int64(len(resp.Kvs))
		if !resp.More || len(resp.Kvs) == 0 || (whole.Limit > 0 && left <= 0) {
			resp.Header, resp.Count = first.Header, first.Count
			if !send(RangeStreamResponse{RangeResponse: resp}) {
				return ctx.Err()
			}
			return nil
		}
		last := resp.Kvs[len(resp.Kvs)-1].Key
		req.Key = append(append(make([]byte, 0, len(last)+1), last...), 0)
		if !send(RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: resp.Kvs}}) {
			return ctx.Err()
		}
	}
}
