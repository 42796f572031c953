package naming

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/internal/registry"
)

// ErrWatcherClosed is the error of a Watcher's Next after Close.
var ErrWatcherClosed = errors.New("naming: watch closed")

// Operation says what an Update does.
type Operation uint8

const (
	// Add: the address is there.
	Add Operation = iota

	// Delete: the address is gone.
	Delete
)

// Update is one change of an address.
type Update struct {
	Op Operation

	// Addr is the address. It may be empty only if there are metadata.
	Addr string

	// Metadata describes the address: any value that encoding/json can write. It is read as
	// encoding/json reads into an any. Do not modify it.
	Metadata any
}

// Watcher reports how the addresses of a service change. It is safe for concurrent use;
// each update is returned by one Next only.
type Watcher interface {
	// Next waits for changes and returns at least one. Only the first call returns at once, with
	// all addresses, or none. Each later call returns the changes since the call before, in the
	// order of the keys, even if etcd was away, has compacted them or was restored from a backup.
	// An address that several keys hold is reported once, and deleted when the last of them is
	// gone. An address whose metadata change is added again.
	//
	// After Close the error is ErrWatcherClosed. After the client was closed, errors.Is(err,
	// clientv3.ErrClosed) holds. A refusal by etcd, such as a missing permission, is an error too,
	// after which Next may be called again. While etcd cannot be reached, Next waits.
	Next() ([]*Update, error)

	// Close ends the Watcher and a Next under way, and returns when Next has returned. Closing
	// again does nothing.
	Close()
}

// GRPCResolver registers and finds the addresses of services. Its methods are safe for concurrent
// use as long as Client does not change.
type GRPCResolver struct {
	// Client is used for all requests; it stays the caller's.
	Client *clientv3.Client
}

// Update adds an address to a service or removes it. The key is the target, a slash and the
// address. Options are those of the put or the delete, such as clientv3.WithLease. Removing an
// address that does not exist is no mistake.
//
// Mistakes are errors with code InvalidArgument, and nothing is sent then: no client, an
// empty target, neither an address nor metadata, metadata that JSON cannot express, an
// unknown operation.
func (gr *GRPCResolver) Update(ctx context.Context, target string, nm Update, opts ...clientv3.OpOption) error {
	if err := gr.check(target); err != nil {
		return err
	}
	value, err := registry.Encode(registry.Record{Addr: nm.Addr, Metadata: nm.Metadata})
	if err != nil {
		return invalid("%q: %v", target, err)
	}
	key := registry.Prefix(target) + nm.Addr
	switch nm.Op {
	case Add:
		_, err = gr.Client.Put(ctx, key, value, opts...)
	case Delete:
		_, err = gr.Client.Delete(ctx, key, opts...)
	default:
		err = invalid("there is no operation %d", nm.Op)
	}
	return err
}

// Resolve returns a Watcher of the addresses of a service, to be closed after use. It
// sends nothing yet. It fails without a client and with an empty target.
func (gr *GRPCResolver) Resolve(target string) (Watcher, error) {
	if err := gr.check(target); err != nil {
		return nil, err
	}
	return newWatcher(gr.Client, target), nil
}

func (gr *GRPCResolver) check(target string) error {
	switch {
	case gr == nil || gr.Client == nil:
		return invalid("the resolver has no etcd client")
	case target == "":
		return invalid("the target is empty")
	}
	return nil
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, "naming: "+format, args...)
}
