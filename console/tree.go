package console

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	levelDefault = 200
	levelMost    = 1000
	// levelTime bounds the time for a page of the tree; the page shows the entries found by then,
	// and a way to continue.
	levelTime = 2 * time.Second
)

// treePage is one page of a level of the tree.
type treePage struct {
	Revision int64   `json:"revision"`
	Children []child `json:"children"`
	Next     []byte  `json:"next,omitempty"` // where the next page begins, if there is more
}

// getTree lists the entries below a prefix; with an empty separator, all keys that begin with it.
func getTree(r *request) (any, error) {
	prefix, err := r.bytes("prefix")
	if err != nil {
		return nil, err
	}
	separator, err := r.bytes("separator")
	if err != nil {
		return nil, err
	}
	from, err := r.bytes("from")
	if err != nil {
		return nil, err
	}
	n, err := r.number("limit")
	if err != nil {
		return nil, err
	}
	if n == 0 || n > levelMost {
		n = levelDefault
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	end := time.Now().Add(levelTime)
	list, next, rev, err := level(
		ctx,
		r.client,
		string(prefix),
		string(separator),
		string(from),
		int(n),
		func() bool { return time.Now().After(end) },
	)
	if err != nil {
		return nil, err
	}
	if err := leases(ctx, r.client, list); err != nil {
		return nil, err
	}
	if list == nil {
		list = []child{}
	}
	return treePage{Revision: rev, Children: list, Next: []byte(next)}, nil
}

// leases notes which keys of a page have a lease, if their listing may not have said so.
func leases(ctx context.Context, kv clientv3.KV, list []child) error {
	var (
		keys [][]byte
		at   []*child
	)
	for i := range list {
		if list[i].Leased {
			return nil
		}
		if !list[i].Branch {
			keys, at = append(keys, list[i].Key), append(at, &list[i])
		}
	}
	has, err := leased(ctx, kv, keys)
	for i := range has {
		at[i].Leased = has[i]
	}
	return err
}

// getCount counts the keys of a prefix.
func getCount(r *request) (any, error) {
	prefix, err := r.bytes("prefix")
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	got, err := r.client.Get(ctx, string(prefix), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return nil, err
	}
	return struct {
		Count    int64 `json:"count"`
		Revision int64 `json:"revision"`
	}{got.Count, got.Header.Revision}, nil
}
