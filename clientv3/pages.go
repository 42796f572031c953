package clientv3

import (
	"bytes"
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// How many keys are read at once from a server that cannot stream: few at first, because
// nothing is known of their size yet, then as many as make pageBytes. A server walks over
// the rest of the range for each page to count its keys, so pages should not be small.
const (
	firstPage  = 32
	pageGrowth = 4
	maxPage    = 20000
	pageBytes  = 2 << 20
	// keyOverhead is what a key costs besides its bytes, on the way and decoded.
	keyOverhead = 64
)

// rangeLeft is what is left of a range that is read in the order of keys.
type rangeLeft struct {
	*pb.RangeRequest
	begun bool // some of it was read
}

// pass takes note that the keys of r were read.
func (l *rangeLeft) pass(r *pb.RangeResponse) {
	n := len(r.GetKvs())
	if n == 0 {
		return
	}
	l.begun = true
	l.Key = after(r.Kvs[n-1].Key)
	if l.Limit > 0 {
		if l.Limit -= int64(n); l.Limit <= 0 {
			l.Limit = nothingLeft
		}
	}
}

// nothingLeft is a limit that is used up; 0 would be no limit.
const nothingLeft = -1

// after is the least key above key.
func after(key []byte) []byte { return append(append(make([]byte, 0, len(key)+1), key...), 0) }

// natural: in the order of keys, so that the rest can be read from the last key on.
func (l *rangeLeft) natural() bool {
	return (l.SortOrder == pb.RangeRequest_NONE || (l.SortOrder == pb.RangeRequest_ASCEND && l.SortTarget == pb.RangeRequest_KEY)) &&
		len(l.RangeEnd) > 0 && !l.CountOnly
}

// mayPage: the stream failed with err, but the rest can be read page by page. A server's chunks
// can be above the client's limit for responses; if some were read, the rest must be of the
// same revision.
func (l *rangeLeft) mayPage(err error) bool {
	switch {
	case etcderr.Code(err) == codes.Unimplemented:
		return !l.begun
	case tooLargeToReceive(err):
		return l.natural() && l.Limit != nothingLeft && (!l.begun || l.Revision > 0)
	}
	return false
}

// tooLargeToReceive: gRPC has refused a message above its limit: an answer above MaxCallRecvMsgSize, or the
// server's gRPC a request.
func tooLargeToReceive(err error) bool {
	return etcderr.Code(err) == codes.ResourceExhausted && etcderr.Known(err) == nil
}

// pages reads a range page by page at one revision. Only a range in the order of
// keys can be continued after its last key; any other result comes whole. Filters by
// revision are applied here: a server that is asked for a page of filtered keys reads the whole
// rest of the range for it.
func (kv *kv) pages(ctx context.Context, whole *rangeLeft, send func(RangeStreamResponse) bool) error {
	if !whole.natural() {
		resp, err := kv.remote.Range(ctx, whole.RangeRequest, kv.callOpt...)
		if err == nil {
			send(RangeStreamResponse{RangeResponse: resp})
		}
		return err
	}
	req := &pb.RangeRequest{Key: whole.Key, RangeEnd: whole.RangeEnd, Revision: whole.Revision, Serializable: whole.Serializable, KeysOnly: whole.KeysOnly}
	filtered := whole.MinModRevision != 0 || whole.MaxModRevision != 0 || whole.MinCreateRevision != 0 || whole.MaxCreateRevision != 0
	limited, left := whole.Limit > 0, int(whole.Limit)
	size := firstPage
	var first *pb.RangeResponse
	for {
		req.Limit = int64(size)
		if limited && !filtered {
			req.Limit = int64(min(size, left))
		}
		resp, err := kv.remote.Range(ctx, req, kv.callOpt...)
		if tooLargeToReceive(err) && size > 1 {
			size = size / 2
			continue
		}
		if err != nil {
			return err
		}
		if first == nil {
			first = &pb.RangeResponse{Header: resp.Header, Count: resp.Count}
			if req.Revision == 0 {
				req.Revision = resp.Header.GetRevision() // later pages see what the first one saw
			}
		}
		got := len(resp.Kvs)
		more := resp.More && got > 0
		if more {
			req.Key = after(resp.Kvs[got-1].Key)
			size = nextPage(size, resp.Kvs)
		}
		if filtered {
			resp.Kvs = filter(whole.RangeRequest, resp.Kvs)
		}
		if limited && len(resp.Kvs) > left {
			resp.Kvs, resp.More, more = resp.Kvs[:left], true, false
		}
		left -= len(resp.Kvs)
		if !more || (limited && left == 0 && !filtered) {
			resp.Header, resp.Count = first.Header, first.Count
			if !send(RangeStreamResponse{RangeResponse: resp}) {
				return ctx.Err()
			}
			return nil
		}
		if len(resp.Kvs) > 0 && !send(RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: resp.Kvs}}) {
			return ctx.Err()
		}
	}
}

// nextPage is how many keys make a page of pageBytes if they are like kvs, a page of size.
func nextPage(size int, kvs []*mvccpb.KeyValue) int {
	sum := 0
	for _, kv := range kvs {
		sum += len(kv.Key) + len(kv.Value) + keyOverhead
	}
	return max(1, min(pageBytes*len(kvs)/sum, size*pageGrowth, maxPage))
}

// filter leaves the keys that req does not filter out, in place.
func filter(req *pb.RangeRequest, kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	within := func(rev, least, most int64) bool { return (least == 0 || rev >= least) && (most == 0 || rev <= most) }
	kept := kvs[:0]
	for _, kv := range kvs {
		if within(kv.ModRevision, req.MinModRevision, req.MaxModRevision) && within(kv.CreateRevision, req.MinCreateRevision, req.MaxCreateRevision) {
			kept = append(kept, kv)
		}
	}
	return kept
}

// inRange: key is before end, which may stand for the end of the key space.
func inRange(key, end []byte) bool { return bytes.Equal(end, endOfKeys) || bytes.Compare(key, end) < 0 }
