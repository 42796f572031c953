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
	// pageBytes is the intended size of a page: its transfer takes far longer than a round trip,
	// and it is far smaller than what burdens a server.
	pageBytes = 2 << 20
)

// Pages reads a range in the order of its keys, page by page, all at one revision.
type Pages struct {
	// Rev is that revision. 0 stands for the newest one; the first page sets it.
	Rev int64
	// Size is the number of keys in a page; 0: as many as make two megabytes.
	Size int64
	// Try bounds the time for a page; 0: only the context does.
	Try time.Duration

	// Listing is the state that was read, from which a watch can continue; nil before the first
	// page.
	Listing *clientv3.Listing

	kv       clientv3.KV
	from, to string
	fits     int64 // the expected number of keys in pageBytes
	end      bool
}

// NewPages returns the pages from a key to an end in the form of WithRange.
func NewPages(kv clientv3.KV, from, to string) *Pages {
	return &Pages{kv: kv, from: from, to: to, fits: pageFirst}
}

// PrefixPages returns the pages of the keys that begin with a prefix, of all keys if it is empty.
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

// nextPage returns the number of keys to read after a page of n keys with size bytes.
func nextPage(n, size int) int64 {
	each := max(size/max(n, 1), 1)
	return int64(max(1, min(pageBytes/each, pageMost, n*10)))
}
