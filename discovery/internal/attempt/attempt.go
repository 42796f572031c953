package attempt

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Verdict says what a result means for its call.
type Verdict uint8

const (
	// Final: the caller gets this result.
	Final Verdict = iota
	// Again: the attempt failed, and may be repeated on another instance.
	Again
	// None: there was no other instance to send it to.
	None
)

// Result is the result of an attempt.
type Result[T any] struct {
	Value   T // may be missing, if there is an error
	Err     error
	Verdict Verdict
}

// End says why an attempt was ended before it had a result.
type End uint8

const (
	// Open: it was not ended.
	Open End = iota
	// TooLong: it had no answer within the limit of attempts, and its successor has begun.
	TooLong
	// Outrun: another attempt was faster.
	Outrun
)

// Attempt is one attempt of a call.
type Attempt struct {
	// Number counts from 0.
	Number int
	// Hedge: the attempt was begun in addition, beside another one without an answer.
	Hedge bool

	cancel context.CancelFunc
	ended  atomic.Uint32
	has    atomic.Bool // an instance
	begun  chan<- *Attempt

	// Owned by Run's goroutine.
	since  time.Time // when it began; zero: not yet
	hedged bool      // its time to be hedged has come
	over   bool      // its time is up
	gone   bool      // given up
	silent bool      // because it had no answer in its time
}

// Begun is called when the attempt has an instance, before it is sent there. It may be called more
// than once.
func (a *Attempt) Begun() {
	if a.begun != nil && !a.has.Swap(true) {
		a.begun <- a // has room for all attempts
	}
}

// Ended returns why the attempt was ended, if it was.
func (a *Attempt) Ended() End { return End(a.ended.Load()) }

// Release frees the attempt's resources; its context ends. It is called when the attempt is over;
// for one with a value that may be long after its result.
func (a *Attempt) Release() { a.cancel() }

// end ends the attempt.
func (a *Attempt) end(why End) {
	a.gone = true
	a.ended.CompareAndSwap(uint32(Open), uint32(why))
	a.cancel()
}

// Plan says how a call is made.
type Plan struct {
	Most    int           // attempts at most
	Limit   time.Duration // after which one without an answer is given up for the next; 0: never
	Hedge   time.Duration // after which another is begun beside one without an answer; 0: never
	Retries *Budget
	Hedges  *Budget
}

// most is above any sensible number of attempts: further ones would only add load.
const most = 100

// Check returns what is wrong with the options of a plan, nil if nothing is.
func Check(attempts int, limit, hedge time.Duration) error {
	switch {
	case attempts < 1 || attempts > most:
		return fmt.Errorf("%d attempts, not 1 to %d", attempts, most)
	case limit < 0 || hedge < 0:
		return fmt.Errorf("a limit of %v for attempts and a hedge after %v", limit, hedge)
	case attempts == 1 && (limit > 0 || hedge > 0):
		return errors.New("one attempt needs neither a limit nor a hedge: no other may follow it")
	}
	return nil
}

// Run makes a call by attempts of try, which must return soon after its context has ended. It
// returns the first final result, or the rest of the last attempt. Results that are not needed go
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
		now := try(ctx, &Attempt{Number: n, cancel: func() {}}) // it is never ended
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
