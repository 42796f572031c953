package kubernetes

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Interface has the operations of etcd that Kubernetes needs. Errors are those of clientv3, for
// instance rpctypes.ErrEmptyKey for an empty key, rpctypes.ErrCompacted for a compacted revision,
// and rpctypes.ErrFutureRev for one that etcd has not reached.
type Interface interface {
	// Get reads a key. A key that does not exist is no error: the response has no KV.
	Get(ctx context.Context, key string, opts GetOptions) (GetResponse, error)

	// List reads the keys that begin with prefix, in their order; all keys if it is empty. To read
	// page by page, set Limit, set Continue to the last key of the page before with "\x00"
	// appended, and set Revision to that of the first page.
	List(ctx context.Context, prefix string, opts ListOptions) (ListResponse, error)

	// Count counts the keys that begin with prefix; all keys if it is empty.
	Count(ctx context.Context, prefix string, opts CountOptions) (int64, error)

	// OptimisticPut writes a key if it was last modified at expectedRevision; 0 stands for a key
	// that does not exist. If it was modified at another revision, that is no error: the response's
	// Succeeded is false.
	OptimisticPut(
		ctx context.Context,
		key string,
		value []byte,
		expectedRevision int64,
		opts PutOptions,
	) (PutResponse, error)

	// OptimisticDelete deletes a key if it was last modified at expectedRevision; with 0 it
	// succeeds if the key does not exist. If it was modified at another revision, that is no error:
	// the response's Succeeded is false.
	OptimisticDelete(
		ctx context.Context,
		key string,
		expectedRevision int64,
		opts DeleteOptions,
	) (DeleteResponse, error)
}

// GetOptions are those of [Interface.Get].
type GetOptions struct {
	// Revision reads the key as it was at that revision; 0: as it is.
	Revision int64
}

// ListOptions are those of [Interface.List].
type ListOptions struct {
	// Revision reads the keys as they were at that revision; 0: as they are.
	Revision int64

	// Limit bounds the number of keys; 0: no bound.
	Limit int64

	// Continue is the first key to read. A key before the prefix has no effect.
	Continue string
}

// CountOptions are those of [Interface.Count]; there are none yet.
type CountOptions struct{}

// PutOptions are those of [Interface.OptimisticPut].
type PutOptions struct {
	// GetOnFailure reads the key if it was modified at another revision.
	GetOnFailure bool

	// LeaseID attaches the key to a lease; 0 to none.
	//
	// Deprecated: a time to live will replace it when Interface has leases of its own.
	LeaseID clientv3.LeaseID
}

// DeleteOptions are those of [Interface.OptimisticDelete].
type DeleteOptions struct {
	// GetOnFailure reads the key if it was modified at another revision.
	GetOnFailure bool
}

// GetResponse is that of [Interface.Get].
type GetResponse struct {
	// KV is the key and its value; nil if the key does not exist.
	KV *mvccpb.KeyValue

	// Revision is that of the store when it answered.
	Revision int64
}

// ListResponse is that of [Interface.List].
type ListResponse struct {
	// Kvs are the keys and their values, in the order of keys.
	Kvs []*mvccpb.KeyValue

	// Count is the number of keys from the first one of this list on, including those beyond Limit.
	Count int64

	// Revision is that of the store when it answered.
	Revision int64
}

// PutResponse is that of [Interface.OptimisticPut].
type PutResponse struct {
	// KV is the key's present value if the put did not succeed and GetOnFailure was set. Otherwise,
	// and if the key does not exist, it is nil.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the key was written.
	Succeeded bool

	// Revision is that of the store after the put. If the put succeeded, it is also the key's mod
	// revision.
	Revision int64
}

// DeleteResponse is that of [Interface.OptimisticDelete].
type DeleteResponse struct {
	// KV is the key's present value if the delete did not succeed and GetOnFailure was set.
	// Otherwise, and if the key does not exist, it is nil.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the delete was executed: the key does not exist now.
	Succeeded bool

	// Revision is that of the store after the delete.
	Revision int64
}
