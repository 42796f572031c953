package lease

import (
	"context"
	"time"
)

// Engine keeps leases alive. Its methods are safe for concurrent use.
type Engine struct{ cfg Config }

// New makes an engine. It starts nothing until the first KeepAlive.
func New(cfg Config) *Engine { return &Engine{cfg: cfg} }

// KeepAlive renews the lease until ctx ends or the lease is lost. Several calls for
// one id share the renewals. The first renewal is sent at once. It returns
// ErrClosed after Close, and then the sink is not called.
func (e *Engine) KeepAlive(ctx context.Context, id int64, s Sink) error { return ErrClosed }

// Granted tells the engine of a grant made through this client, so that the TTL is
// known before the first renewal. sent is when the grant request was sent.
func (e *Engine) Granted(id, ttlSeconds int64, sent time.Time) {}

// Revoked tells the engine that this client revoked the lease.
func (e *Engine) Revoked(id int64) {}

// Close ends all kept leases and returns after all goroutines ended. It may be
// called more than once.
func (e *Engine) Close() {}
