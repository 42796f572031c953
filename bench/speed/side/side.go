// Package side is what the benchmark does with either client.
package side

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Side is one of the two clients.
type Side struct {
	Get func(ctx context.Context, key string) error
	Put func(ctx context.Context, key, value string) error
	// Fill puts the values in one transaction.
	Fill  func(ctx context.Context, keys []string, value string) error
	List  func(ctx context.Context, prefix string) (int, error)
	Watch func(ctx context.Context, key string) any // the channel, for keeping
	// Replay reads n events of a prefix from a revision on.
	Replay func(ctx context.Context, prefix string, rev int64, n int) error
	// Follow reads n events of a key from now on.
	Follow func(ctx context.Context, key string, n int) error
	// One lists a prefix and returns the i-th key-value only.
	One func(ctx context.Context, prefix string, i int) (*mvccpb.KeyValue, error)
	// Keep grants a lease and keeps it alive; the channel is not read.
	Keep  func(ctx context.Context, ttl int64) (int64, error)
	Alive func(ctx context.Context, lease int64) (bool, error)
	Close func() error
}
