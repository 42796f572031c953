package relapse

import (
	"context"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Look calls found with each key of a lease that exists although it has ended. Each request may
// take as long as each. A server names the keys of a lease only to a user who may read all of
// them; for other users the ended keys are read. Keys that the user may not read are left out, and
// the error then is that denial. Look returns the revision of a linearizable read; 0: none
// succeeded.
func Look(
	ctx context.Context,
	c *clientv3.Client,
	id clientv3.LeaseID,
	each time.Duration,
	ended func() []string,
	found func(*mvccpb.KeyValue),
) (revision int64, err error) {
	try, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	attached, err := c.TimeToLive(try, id, clientv3.WithAttachedKeys())
	if err != nil && clientv3.Code(err) != codes.PermissionDenied {
		return 0, err
	}
	keys := ended()
	if err == nil && len(keys) > 0 {
		one := keys[0]
		is := make(map[string]bool, len(attached.Keys))
		for _, key := range attached.Keys {
			is[string(key)] = true
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return !is[key] })
		if len(keys) == 0 { // the revision is wanted anyhow
			keys = append(keys, one)
		}
	}
	r := reader{c: c, id: id, each: each, found: found}
	var denied error
	for len(keys) > 0 {
		n := fit(keys)
		if err := r.read(ctx, keys[:n]); clientv3.Code(err) == codes.PermissionDenied {
			denied = err
		} else if err != nil {
			return r.revision, err
		}
		keys = keys[n:]
	}
	return r.revision, denied
}

// Servers accept 128 operations and 1.5 MiB in a request by default.
const (
	perRequest = 100
	maxBytes   = 512 << 10
)

// fit returns how many of the first keys one request reads, one at least.
func fit(keys []string) int {
	size := 0
	for n, key := range keys {
		if size += len(key); n > 0 && (n == perRequest || size > maxBytes) {
			return n
		}
	}
	return len(keys)
}

type reader struct {
	c     *clientv3.Client
	id    clientv3.LeaseID
	each  time.Duration
	found func(*mvccpb.KeyValue)

	revision int64 // of the last answer
}

// read reads keys together, or in halves if one of them may not be read. It reads whole keys: since
// 3.7 an answer with keys only has no leases.
func (r *reader) read(ctx context.Context, keys []string) error {
	try, cancel := context.WithTimeout(ctx, r.each)
	defer cancel()
	gets := make([]clientv3.Op, len(keys))
	for i, key := range keys { // with their values: etcd 3.7 leaves the lease out of keys only
		gets[i] = clientv3.OpGet(key)
	}
	got, err := r.c.Txn(try).Then(gets...).Commit()
	if clientv3.Code(err) == codes.PermissionDenied && len(keys) > 1 {
		for half := range slices.Chunk(keys, (len(keys)+1)/2) {
			if e := r.read(ctx, half); e != nil && clientv3.Code(e) != codes.PermissionDenied {
				return e
			}
		}
		return err // some of them, at least one
	}
	if err != nil {
		return err
	}
	r.revision = got.Header.Revision
	for _, answer := range got.Responses {
		for _, kv := range answer.GetResponseRange().Kvs {
			if kv.Lease == int64(r.id) {
				r.found(kv)
			}
		}
	}
	return nil
}
