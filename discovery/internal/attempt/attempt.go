package attempt

import (
	"context"
	"sync/atomic"
	"time"
)

// Verdict says what has come of an attempt.
type Verdict uint8

const (
	// Final: this is what the caller gets.
	Final Verdict = iota
	// Again: it has failed, and may be repeated on another instance.
	Again
	// None: there was no other instance to send it to.
	None
)

// Result is what an attempt has given.
type Result[T any] struct {
	Value   T // may be none, if there is an error
	Err     error
	Verdict Verdict
}

// End is why an attempt was ended before it gave a result.
type End uint8

const (
	// Open: it was not.
	Open End = iota
	// TooLong: it had no answer within the limit of attempts, and its successor has begun.
	TooLong
	// Outrun: another one was faster.
	Outrun
)

// Attempt is one of a call's.
type Attempt struct {
	// Number counts from 0.
	Number int
	// Hedge: it was begun beside another one that had no answer yet, in addition.
	Hedge bool

	cancel context.CancelFunc
	ended  atomic.Uint32
	has    atomic.Bool // an instance
	begun  chan<- *Attempt

	// Of Run's goroutine.
	since  time.Time // when it began; zero: not yet
	hedged bool      // its time to be hedged has come
	over   bool      // its time is up
	gone   bool      // given up
	silent bool      // because it had no answer in its time
}

// Begun is called when there is an instance for the attempt, before it is sent there. It may be
// called more than once.
func (a *Attempt) Begun() {
	if a.begun != nil && !a.has.Swap(true) {
		a.begun <- a // has room for all attempts
	}
}

// Ended says why the attempt was ended, if it was.
func (a *Attempt) Ended() End { return End(a.ended.Load()) }

// Release frees what the attempt holds; its context ends. It is called when the attempt is over,
// which for one with a value may be long after its result.
func (a *Attempt) Release() { a.cancel() }

// end ends it.
func (a *Attempt) end(why End) {
	a.gone = true
	a.ended.CompareAndSwap(uint32(Open), uint32(why))
	a.cancel()
}

// Plan is how a call is made.
type Plan struct {
	Most    int           // attempts at most
	Limit   time.Duration // after which one without an answer is given up for the next; 0: never
	Hedge   time.Duration // after which another is begun beside one without an answer; 0: never
	Retries *Budget
	Hedges  *Budget
}

// Run makes a call by attempts of try, which must return soon after its context has ended. The
// result is the first that is final, or what was left of the last attempt. What is not needed goes
// to drop.
func Run[T any](
	ctx context.Context,
	p Plan,
	try func(context.Context, *Attempt) Result[T],
	drop func(Result[T]),
) Result[T] {
	if p.Most > 1 && (p.Limit > 0 || p.Hedge > 0) {
		r := &race[T]{
			p:     p,
			try:   try,
			drop:  drop,
			begun: make(chan *Attempt, p.Most),
			ended: make(chan ended[T], p.Most),
		}
		return r.run(ctx)
	}
	var last Result[T]
	for n := 0; ; n++ {
		now := try(ctx, &Attempt{Number: n, cancel: func() {}}) // nobody ends it
		if now.Verdict == None && n > 0 {
			return last
		}
		if n > 0 {
			drop(last)
		}
		if last = now; now.Verdict != Again || n+1 >= p.Most || ctx.Err() != nil || !p.Retries.spend() {
			return last
		}
	}
}
