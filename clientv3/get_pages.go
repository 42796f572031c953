package clientv3

import (
	"bytes"
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/retry"
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
	// pagesAhead is how many pages wait for the loop; more would only be memory.
	pagesAhead = 1
)

// after is the least key above key.
func after(key []byte) []byte { return append(append(make([]byte, 0, len(key)+1), key...), 0) }

// inRange: key is before end, which may stand for the end of the key space.
func inRange(key, end []byte) bool { return bytes.Equal(end, endOfKeys) || bytes.Compare(key, end) < 0 }

// tooLargeToReceive: gRPC has refused a message above its limit: an answer above
// MaxCallRecvMsgSize, or the server's gRPC a request.
func tooLargeToReceive(err error) bool {
	return etcderr.Code(err) == codes.ResourceExhausted && etcderr.Known(err) == nil
}

// page is some keys of a range, in order; or why there are no more.
type page struct {
	kvs  []*mvccpb.KeyValue
	last bool
	err  error
}

// pages reads what is left page by page, somewhat ahead of the loop. Filters by revision are
// applied here: a server that is asked for a page of filtered keys reads the whole rest of
// the range for it.
func (r *ranging) pages(ctx context.Context) (progress bool, err error) {
	ctx, cancel := context.WithCancel(retry.WithBulk(ctx))
	ahead := make(chan page, pagesAhead)
	op := r.op
	op.sort = nil // the order of keys is the natural one
	op.minModRev, op.maxModRev, op.minCreateRev, op.maxCreateRev = 0, 0, 0, 0
	if r.filters() {
		op.limit = 0 // of what is left after filtering
	}
	go func() {
		defer close(ahead)
		fetch(ctx, r.kv, op, ahead)
	}()
	defer func() {
		cancel()
		for range ahead { // it is closed at once; then all is released
		}
	}()
	for p := range ahead {
		if p.err != nil {
			return progress, p.err
		}
		progress = progress || len(p.kvs) > 0
		kvs := r.filtered(p.kvs)
		if r.op.limit > 0 && int64(len(kvs)) > r.op.limit {
			kvs = kvs[:r.op.limit]
		}
		if !r.deliver(kvs) {
			return true, nil
		}
		if done := r.pass(p.kvs, len(kvs)); done || p.last {
			return progress, nil
		}
	}
	return progress, ctx.Err()
}

// fetch reads a range page by page until its end, a failure, or the end of ctx.
func fetch(ctx context.Context, kv KV, op Op, ahead chan<- page) {
	left := op.limit // 0: no limit
	for size := firstPage; ; {
		op.limit = int64(size)
		if left > 0 {
			op.limit = min(op.limit, left)
		}
		resp, err := kv.Get(ctx, string(op.key), ask(op))
		if tooLargeToReceive(err) && size > 1 {
			size /= 2
			continue
		}
		p := page{err: err, last: true}
		if err == nil {
			n := len(resp.Kvs)
			p.kvs, p.last = resp.Kvs, !resp.More || n == 0 || left > 0 && int64(n) >= left
			if n > 0 {
				op.key = after(resp.Kvs[n-1].Key)
				size = nextPage(size, resp.Kvs)
				left = max(left-int64(n), 0)
			}
		}
		select {
		case ahead <- p:
		case <-ctx.Done():
			return
		}
		if p.last {
			return
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

// filters reports that some keys of the range may be filtered out.
func (r *ranging) filters() bool {
	return r.op.minModRev != 0 || r.op.maxModRev != 0 || r.op.minCreateRev != 0 || r.op.maxCreateRev != 0
}

// filtered is what the filters by revision leave of kvs.
func (r *ranging) filtered(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	if !r.filters() {
		return kvs
	}
	within := func(rev, least, most int64) bool { return (least == 0 || rev >= least) && (most == 0 || rev <= most) }
	var kept []*mvccpb.KeyValue
	for _, kv := range kvs {
		if within(kv.ModRevision, r.op.minModRev, r.op.maxModRev) &&
			within(kv.CreateRevision, r.op.minCreateRev, r.op.maxCreateRev) {
			kept = append(kept, kv)
		}
	}
	return kept
}
