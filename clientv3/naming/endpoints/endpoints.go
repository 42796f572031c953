package endpoints

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Endpoint is one address at which a service can be reached.
type Endpoint struct {
	// Addr is the address to connect to, in any form that the consumer understands; for
	// gRPC "host:port" or "unix:///path".
	Addr string

	// Metadata describes the address to consumers: any value that encoding/json can write. It is
	// read as encoding/json reads into an any (numbers become float64, objects map[string]any). Do
	// not modify it.
	Metadata any
}

// Operation says what an Update does.
type Operation uint8

const (
	// Add: the endpoint is there, new or with another content.
	Add Operation = iota

	// Delete: the endpoint is gone.
	Delete
)

// Update is one change of an endpoint.
type Update struct {
	Op       Operation
	Key      string   // the whole key, target included
	Endpoint Endpoint // with Add
}

// UpdateWithOpts is an Update to be made, with options of its put or delete, such as
// clientv3.WithLease.
type UpdateWithOpts struct {
	Update
	Opts []clientv3.OpOption
}

// NewAddUpdateOpts returns an [UpdateWithOpts] that adds an endpoint.
func NewAddUpdateOpts(key string, endpoint Endpoint, opts ...clientv3.OpOption) *UpdateWithOpts {
	return &UpdateWithOpts{Update: Update{Op: Add, Key: key, Endpoint: endpoint}, Opts: opts}
}

// NewDeleteUpdateOpts returns an [UpdateWithOpts] that removes an endpoint.
func NewDeleteUpdateOpts(key string, opts ...clientv3.OpOption) *UpdateWithOpts {
	return &UpdateWithOpts{Update: Update{Op: Delete, Key: key}, Opts: opts}
}

// WatchChannel delivers changes of endpoints, several at once if they came together. Those of one
// delivery are in the order of their keys, with at most one change for each key.
type WatchChannel <-chan []*Update

// Key2EndpointMap maps the whole keys to the endpoints.
type Key2EndpointMap map[string]Endpoint

// Manager keeps the endpoints of one target. All methods are safe for concurrent use.
//
// Mistakes are errors with code InvalidArgument that say what is wrong, and nothing is
// sent then: a key outside the target, an endpoint to add that has neither address nor
// metadata, metadata that JSON cannot express, an unknown operation, a nil update. All
// other errors are those of the client.
type Manager interface {
	// Update makes several changes in one transaction: all or none of them. To remove an endpoint
	// that does not exist, or to make no changes, is no mistake. A transaction changes a key only
	// once (rpctypes.ErrDuplicateKey) and, unless the server is configured otherwise, has at most
	// 128 changes (rpctypes.ErrTooManyOps).
	Update(ctx context.Context, updates []*UpdateWithOpts) error

	// AddEndpoint adds one endpoint or replaces it. Without a lease (clientv3.WithLease)
	// it stays until it is removed.
	AddEndpoint(ctx context.Context, key string, endpoint Endpoint, opts ...clientv3.OpOption) error

	// DeleteEndpoint removes one endpoint.
	DeleteEndpoint(ctx context.Context, key string, opts ...clientv3.OpOption) error

	// List returns all endpoints of the target as they are now. While no quorum answers, it returns
	// after 0.2 s the endpoints that one member has, but never an older state than this Manager has
	// written or read before.
	List(ctx context.Context) (Key2EndpointMap, error)

	// NewWatchChannel first delivers all endpoints, as Add; nothing if there are none. Then it
	// delivers their changes. It returns when the endpoints are known, which are read as by List,
	// or with the error of that read.
	//
	// The channel is closed when ctx ends or the client is closed, and not otherwise. After a
	// failure the watch goes on, and the changes meanwhile are delivered as one difference, even if
	// the server has compacted them or was restored from a backup. A slow consumer gets fewer and
	// larger deliveries, with the last state of each endpoint.
	NewWatchChannel(ctx context.Context) (WatchChannel, error)
}
