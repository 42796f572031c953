package relapse

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Look finds the keys of a lease that are there and that have ended. Each request may take so long.
// A server names the keys of a lease only to a user who may read all of them; for others the keys
// that have ended are read. Those that may not be read are left out, which the error says.
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

// perRequest is how many keys one request reads: servers take 128 unless told otherwise.
const perRequest = 100

type reader struct {
	c     *clientv3.Client
	id    clientv3.LeaseID
	each  time.Duration
	found func(*mvccpb.KeyValue)
}

// read reads keys together, or in halves where one of them may not be read. All of a key is read:
// from 3.7 on keys alone come without their lease.
func (r reader) read(ctx context.Context, keys []string) error {
	try, cancel := context.WithTimeout(ctx, r.each)
	defer cancel()
	gets := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		gets[i] = clientv3.OpGet(key)
	}
	got, err := r.c.Txn(try).Then(gets...).Commit()
	if clientv3.Code(err) == codes.PermissionDenied && len(keys) > 1 {
		half := len(keys) / 2
		first, second := r.read(ctx, keys[:half]), r.read(ctx, keys[half:])
		for _, err := range []error{first, second} {
			if err != nil && clientv3.Code(err) != codes.PermissionDenied {
				return err
			}
		}
		return errors.Join(first, second)
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
