package transfer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Export writes all keys with a prefix, as of one revision (the latest if rev is 0), and returns
// how many. It calls progress from time to time with the number so far and of all; progress may be
// nil.
func Export(
	ctx context.Context,
	c *clientv3.Client,
	prefix string,
	rev int64,
	w io.Writer,
	progress func(keys, all int64),
) (keys int64, err error) {
	opts := []clientv3.OpOption{clientv3.WithLimit(1), clientv3.WithKeysOnly()}
	if prefix == "" {
		prefix = "\x00"
		opts = append(opts, clientv3.WithFromKey())
	} else {
		opts = append(opts, clientv3.WithPrefix())
	}
	if rev > 0 {
		opts = append(opts, clientv3.WithRev(rev))
	}
	now, err := c.Get(ctx, prefix, opts...)
	if err != nil {
		return 0, err
	}
	if rev == 0 {
		rev = now.Header.Revision
	}
	if prefix == "\x00" {
		prefix = ""
	}
	out := bufio.NewWriterSize(w, 1<<20)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	h := header{Fairlead: magic, Format: current, Revision: rev, Cluster: fmt.Sprintf("%x", now.Header.ClusterId)}
	if p, raw := Text([]byte(prefix)); p != nil {
		h.Prefix = *p
	} else {
		h.Prefix64 = raw
	}
	if err := enc.Encode(h); err != nil {
		return 0, err
	}
	ttls := make(map[int64]int64)
	for kv, err := range c.Range(ctx, prefix, clientv3.WithRev(rev)) {
		if err != nil {
			return keys, err
		}
		l := line{Create: kv.CreateRevision, Mod: kv.ModRevision, Version: kv.Version}
		l.Key, l.Key64 = Text(kv.Key)
		l.Value, l.Value64 = Text(kv.Value)
		if kv.Lease != 0 {
			ttl, ok := ttls[kv.Lease]
			if !ok {
				// A lease that has ended since, or that the user may not read, has no TTL in the
				// file.
				if r, err := c.TimeToLive(ctx, clientv3.LeaseID(kv.Lease)); err == nil {
					ttl = max(0, r.GrantedTTL)
				} else if ctx.Err() != nil {
					return keys, ctx.Err()
				}
				ttls[kv.Lease] = ttl
			}
			l.Lease, l.TTL = fmt.Sprintf("%x", kv.Lease), ttl
		}
		if err := enc.Encode(l); err != nil {
			return keys, err
		}
		if keys++; progress != nil && keys%100 == 0 {
			progress(keys, now.Count)
		}
	}
	if err := enc.Encode(line{End: &keys}); err != nil {
		return keys, err
	}
	return keys, out.Flush()
}
