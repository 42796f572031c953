// Package pool lends values by key and keeps them for the next borrower.
//
// A value is made for the first borrower of its key, and all borrowers until its return share it.
// It is never closed while it is lent. After the last borrower has returned it, it is kept for a
// while and then closed, or closed earlier if too many values have no borrower.
//
// Pool.mu guards all. Values are closed in goroutines of the pool, since closing may take a while;
// Close waits for them.
package pool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/worker"
)

// ErrClosed is the error of Take after Close.
var ErrClosed = errors.New("the pool is closed")

// Limits bound the values without a borrower.
type Limits struct {
	Idle int           // how many
	For  time.Duration // how long
}

// Pool must be made with New. It is safe for concurrent use.
type Pool[T any] struct {
	limits Limits
	end    func(T)
	group  *worker.Group

	mu     sync.Mutex
	closed bool               // guarded by mu
	all    map[string]*lot[T] // guarded by mu
	idle   []*lot[T]          // guarded by mu; those without a borrower, the longest unused first
}

// lot is one value. Its fields are guarded by the pool's mu, but for value, which does not change.
type lot[T any] struct {
	_ [0]func() // not comparable: what compares two would make programs larger

	key       string
	value     T
	borrowers int
	timer     *time.Timer // closes it; nil while it is lent
}

// New returns a pool that closes values with end.
func New[T any](limits Limits, end func(T)) *Pool[T] {
	return &Pool[T]{limits: limits, end: end, group: worker.New(context.Background()), all: make(map[string]*lot[T])}
}

// Take borrows the value of a key, and makes it if there is none. The borrower calls back, once,
// when it has finished. The error is that of make, or ErrClosed.
func (p *Pool[T]) Take(key string, make func() (T, error)) (value T, back func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return value, nil, ErrClosed
	}
	l := p.all[key]
	if l == nil {
		if value, err = make(); err != nil {
			return value, nil, err
		}
		l = &lot[T]{key: key, value: value}
		p.all[key] = l
	}
	if l.borrowers++; l.timer != nil {
		p.unidle(l)
	}
	return l.value, sync.OnceFunc(func() { p.back(l) }), nil
}

func (p *Pool[T]) back(l *lot[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.borrowers--; l.borrowers > 0 || p.closed {
		return
	}
	l.timer = time.AfterFunc(p.limits.For, func() { p.expire(l) })
	p.idle = append(p.idle, l)
	if len(p.idle) > p.limits.Idle {
		p.drop(p.idle[0])
	}
}

// expire runs in the timer's goroutine.
func (p *Pool[T]) expire(l *lot[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed && l.borrowers == 0 && p.all[l.key] == l {
		p.drop(l)
	}
}

// unidle removes l from the values without a borrower. Callers hold mu.
func (p *Pool[T]) unidle(l *lot[T]) {
	l.timer.Stop()
	l.timer = nil
	p.idle = slices.DeleteFunc(p.idle, func(o *lot[T]) bool { return o == l })
}

// drop closes a value that has no borrower. Callers hold mu; the pool is not closed, so the group
// still starts goroutines.
func (p *Pool[T]) drop(l *lot[T]) {
	p.unidle(l)
	delete(p.all, l.key)
	p.group.Go(func(context.Context) { p.end(l.value) })
}

// Close closes all values, even those that are lent, and waits for that.
func (p *Pool[T]) Close() {
	p.mu.Lock()
	all := p.all
	p.all, p.idle, p.closed = nil, nil, true
	for _, l := range all {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	p.mu.Unlock()
	for _, l := range all {
		p.end(l.value)
	}
	p.group.Stop()
}
