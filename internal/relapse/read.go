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
// the error then is that denial.
func Look(
	ctx context.Context,
	c *clientv3.Client,
	id clientv3.LeaseID,
	each time.Duration,
	ended func() []string,
	found func(*mvccpb.KeyValue),
) error {
	try, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	attached, err := c.TimeToLive(try, id, clientv3.WithAttachedKeys())
	if err != nil && clientv3.Code(err) != codes.PermissionDenied {
		return err
	}
	keys := ended()
	if err == nil {
		is := make(map[string]bool, len(attached.Keys))
		for _, key := range attached.Keys {
			is[string(key)] = true
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return !is[key] })
	}
	r := reader{c, id, each, found}
	var denied error
	for some := range slices.Chunk(keys, perRequest) {
		if err := r.read(ctx, some); clientv3.Code(err) == codes.PermissionDenied {
			denied = err
		} else if err != nil {
			return err
		}
	}
	return denied
}

// perRequest is how many keys one request reads: servers accept 128 by default.
const perRequest = 100

type reader struct {
	c     *clientv3.Client
	id    clientv3.LeaseID
	each  time.Duration
	found func(*mvccpb.KeyValue)
}

// read reads keys together, or in halves if one of them may not be read. It reads whole keys: since
// 3.7 an answer with keys only has no leases.
func (r reader) read(ctx context.Context, keys []string) error {
	try, cancel := context.WithTimeout(ctx, r.each)
	defer cancel()
	gets := make([]clientv3.Op, len(keys))
	for i, key := range keys {
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
	for _, answer := range got.Responses {
		for _, kv := range answer.GetResponseRange().Kvs {
			if kv.Lease == int64(r.id) {
				r.found(kv)
			}
		}
	}
	return nil
}
