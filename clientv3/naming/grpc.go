package naming

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/internal/registry"
)

// ErrWatcherClosed is what Next of a Watcher returns after Close.
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

	// Metadata is what is to be known about the address: anything that encoding/json can
	// write, read as encoding/json reads into an any. Not to be modified.
	Metadata any
}

// Watcher reports how the addresses of a service change. It is safe for concurrent use;
// each update is returned by one Next only.
type Watcher interface {
	// Next waits for changes and returns at least one; only the first call returns at once, with
	// all addresses there are, or none. The second of two calls returns the changes since the first
	// as a difference, in the order of the keys, also when etcd was away, has compacted it or was
	// restored from a backup. An address that several keys hold is there once, until the last of
	// them is gone; one whose metadata change is added again.
	//
	// After Close the error is ErrWatcherClosed. A closed client is another error (errors.Is(err,
	// clientv3.ErrClosed)), and so is a refusal by etcd, such as a missing permission; then Next
	// may be called again. An etcd that cannot be reached is no error: Next waits.
	Next() ([]*Update, error)

	// Close ends the Watcher and a Next under way, and returns when that has ended. Closing
	// again does nothing.
	Close()
}

// GRPCResolver registers and finds the addresses of services. Its methods are safe for
// concurrent use as long as Client is not replaced.
type GRPCResolver struct {
	// Client is used for all requests; it stays the caller's.
	Client *clientv3.Client
}

// Update adds an address to a service or removes it. The key is the target, a slash and
// the address. Options are those of the put or the delete, such as clientv3.WithLease.
// Removing what is not there is no mistake.
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
