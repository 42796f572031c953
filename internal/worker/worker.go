// Package worker gives every background loop of Fairlead one shape: it is started, its context
// stops it, and stopping waits until it has returned. A type that owns goroutines owns a Group; its
// Close calls Group.Stop, and after that none of its goroutines exists.
package worker

import (
	"context"
	"sync"
)

// Group is a set of background functions that end together.
//
// A Group must be made with New. All methods are safe for concurrent use.
type Group struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool // guarded by mu; once set, Go starts nothing
	wg      sync.WaitGroup
}

// New returns a group whose functions see a context derived from parent. It is not inlined: its
// copies made programs larger.
//
//go:noinline
func New(parent context.Context) *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancel(parent)
	return g
}

// Context ends when the group stops or its parent ends.
func (g *Group) Context() context.Context { return g.ctx }

// Go starts f in a goroutine of the group and reports whether it did: after
// Stop nothing starts any more. f has to return soon after its context ends.
func (g *Group) Go(f func(ctx context.Context)) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		f(g.ctx)
	}()
	return true
}

// Cancel ends the group's context without waiting for its functions.
func (g *Group) Cancel() { g.cancel() }

// Stop ends the group's context and waits for all functions. It may be called
// more than once and from several goroutines, but not from a function of the
// group itself, which would wait for its own end.
func (g *Group) Stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.cancel()
	g.wg.Wait()
}
