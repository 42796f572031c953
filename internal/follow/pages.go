package follow

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// pageFirst is small since nothing is known of the values' size yet.
	pageFirst = 100
	pageMost  = 10_000
	// pageBytes is what a page shall have: far above what a round trip costs, far below what
	// hurts.
	pageBytes = 2 << 20
)

// Pages reads a range in the order of its keys, page by page, all at one revision.
type Pages struct {
	// Rev is that revision. 0 stands for the newest one; the first page sets it.
	Rev int64
	// Size is how many keys a page has; 0: as many as make two megabytes.
	Size int64
	// Try bounds the reading of a page; 0: only the context does.
	Try time.Duration

	// Listing is what was read, for a watch that goes on from there; nil before the first page.
	Listing *clientv3.Listing

	kv       clientv3.KV
	from, to string
	fits     int64 // how many keys are expected to make pageBytes
	end      bool
}

// NewPages returns the pages from a key on, up to an end as WithRange takes it.
func NewPages(kv clientv3.KV, from, to string) *Pages {
	return &Pages{kv: kv, from: from, to: to, fits: pageFirst}
}

// PrefixPages returns the pages of the keys that begin with a prefix, of all if it is empty.
func PrefixPages(kv clientv3.KV, prefix string) *Pages {
	end := clientv3.GetPrefixRangeEnd(prefix)
	if prefix == "" {
		prefix = "\x00" // the least key; an empty one is refused
	}
	return NewPages(kv, prefix, end)
}

// More reports whether a page follows.
func (p *Pages) More() bool { return !p.end }

// Next reads the next page. After an error it may be called again.
func (p *Pages) Next(ctx context.Context) (*clientv3.GetResponse, error) {
	if p.Try > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Try)
		defer cancel()
	}
	limit := p.Size
	if limit == 0 {
		limit = p.fits
	}
	if p.Listing == nil {
		p.Listing = clientv3.NewListing(p.Rev)
	}
	r, err := p.kv.Get(ctx, p.from, clientv3.WithRange(p.to), clientv3.WithLimit(limit), clientv3.WithRev(p.Rev))
	if err != nil {
		return nil, err
	}
	if p.Rev == 0 {
		p.Rev = r.Header.Revision
	}
	p.Listing.Add(r)
	n := len(r.Kvs)
	if p.end = !r.More || n == 0; p.end {
		return r, nil
	}
	p.from = string(r.Kvs[n-1].Key) + "\x00"
	size := 0
	for _, kv := range r.Kvs {
		size += len(kv.Key) + len(kv.Value)
	}
	p.fits = nextPage(n, size)
	return r, nil
}

// nextPage is how many keys to ask for after a page of n with so many bytes.
func nextPage(n, size int) int64 {
	each := max(size/max(n, 1), 1)
	return int64(max(1, min(pageBytes/each, pageMost, n*10)))
}
