package watch

import "context"

// Engine keeps watchers alive. Its methods are safe for concurrent use.
type Engine struct{ cfg Config }

// New makes an engine. It starts nothing until the first Watch.
func New(cfg Config) *Engine { return &Engine{cfg: cfg} }

// Watch registers a watcher and blocks until the server confirmed it, ctx ended,
// or the engine closed. ctx is also the watcher's life: when it ends, the watcher
// ends without a further delivery. When Watch returns an error (ctx.Err() or
// ErrClosed) the sink has been or will be ended. A create that the server rejects
// is a final delivery and an End, and Watch returns nil.
func (e *Engine) Watch(ctx context.Context, r Request, s Sink) error { return ErrClosed }

// RequestProgress asks for a progress notification on every live stream of the
// group that has watchers.
func (e *Engine) RequestProgress(ctx context.Context, group string) error { return ErrClosed }

// Close ends all watchers and returns after all goroutines ended. It may be called
// more than once.
func (e *Engine) Close() {}
