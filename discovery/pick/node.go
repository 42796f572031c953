package pick

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fairlead-go/fairlead/discovery"
)

const (
	// latencyHalf is the age at which a latency counts half. It smooths out a pause for garbage
	// collection, and notices a slower machine within seconds. An instance that failed, and
	// otherwise takes a millisecond, is as good as others after half a minute of being tried now
	// and then. It is 2^31 ns, 2.1 s, which is quick to divide by.
	latencyHalf = time.Duration(1) << halfBits
	halfBits    = 31
	// failureLatency is what a failed call counts as, at least: an instance that fails at
	// once would look fast, and draw all calls.
	failureLatency = time.Second
	// maxLatency bounds what a call counts as. A stream that was open for an hour says
	// little about the next call.
	maxLatency = 10 * time.Second
	// grain is the resolution of an instance's times. A write costs as much as the rest of a
	// report, and more if several processors report. So of calls that are answered within one grain
	// only one is measured, but every failure is.
	grain = 1 << 20
)

// node is an instance with its measurements. It stays the same from set to set as long as the
// instance keeps its id and address.
type node struct {
	in          atomic.Pointer[discovery.Instance]
	weight      atomic.Uint64 // float64: the instance's, less while it is new
	outstanding atomic.Int32  // calls under way; kept if needed
	waiting     atomic.Int32  // those whose kind is answered soon, see quiet.go
	average
	fails    atomic.Int32 // calls that failed since the last that did not
	passed   atomic.Int32 // how often another was taken in its place in a row
	trial    atomic.Int64 // see trial.go
	answered atomic.Int64 // when a call was last answered; kept with the latency
	quiet                 // see quiet.go

	// Guarded by Balancer.mu.
	gen     uint64  // of the list that had it last
	set     uint64  // that had it last, by number
	ready   bool    // may be picked, by the list
	base    float64 // the instance's weight
	warm    float64 // the part of it that it gets, up to 1
	born    int64   // when it appeared; -1: has warmed up
	ejected bool
	until   int64         // when it comes back, if ejected
	back    int64         // when it came back last
	out     time.Duration // for how long it was out, or is

	_ [24]byte // see lines
}

// lines: a node takes whole cache lines, and picks read and write the first of them. A pick looks
// at several nodes, and writing to one should not slow down goroutines that use another. The
// allocator aligns sizes that are a multiple of 64 bytes.
const lines = 64

var _ [0]struct{} = [unsafe.Sizeof(node{}) % lines]struct{}{}

// key distinguishes nodes. An instance with a new address is another node.
type key struct{ id, addr string }

func keyOf(in *discovery.Instance) key {
	k := key{id: in.ID}
	if len(in.Addresses) > 0 {
		k.addr = in.Addresses[0]
	}
	return k
}

func (n *node) load() float64 { return float64(max(n.outstanding.Load(), 0)) }

func (n *node) share() float64 { return math.Float64frombits(n.weight.Load()) }

// passOver counts that another node is taken in its place; false: that happened often enough. Of
// two at once one may be lost, which does no harm.
func (n *node) passOver() bool {
	p := n.passed.Load() + 1
	if p > passedOver {
		return false
	}
	n.passed.Store(p)
	return true
}

// fade approximates 2^-(age/latencyHalf), by straight lines between powers of two: it is computed
// for each call.
func fade(age int64) float64 {
	if age <= 0 {
		return 1
	}
	halvings := age >> halfBits
	if halvings > 1000 {
		return 0
	}
	rest := float64(age&(int64(latencyHalf)-1)) * (1 / float64(2*latencyHalf))
	return (1 - rest) * math.Float64frombits(uint64(1023-halvings)<<52) // the latter is 2^-halvings
}

// sample takes a latency into an average over time, in which the past fades. Of two at once
// one may be lost, which does no harm.
func (n *node) sample(now int64, l time.Duration, failed bool) {
	if failed {
		l = max(l, failureLatency)
	}
	n.average.sample(now, l)
}

// average is a latency over time.
type average struct {
	latency atomic.Uint64 // float64, nanoseconds; 0: not known
	sampled atomic.Int64  // when latency was changed last
}

func (a *average) sample(now int64, l time.Duration) {
	old := a.latency.Load()
	if now-a.sampled.Load() < grain && l < failureLatency && old != 0 {
		return
	}
	x := float64(min(max(l, 1), maxLatency))
	if was := math.Float64frombits(old); was > 0 {
		x += (was - x) * fade(now-a.sampled.Load())
	}
	if a.latency.CompareAndSwap(old, math.Float64bits(x)) {
		a.sampled.Store(now)
	}
}

// expected returns the expected latency, in nanoseconds, 0 if none is known.
func (a *average) expected() float64 { return math.Float64frombits(a.latency.Load()) }

// Outcome is the outcome of a call; see [Done.Report].
type Outcome uint8

const (
	// Success: the instance did its work, which may be to answer with an error.
	Success Outcome = iota
	// Failure: the instance could not be reached, or could not do its work.
	Failure
	// Ignored: the call says nothing about the instance; the caller gave up, say.
	Ignored
	// TimedOut: the caller's time was up before there was an answer. That is a [Failure] if the
	// time was several times the instance's usual latency, or that latency is unknown; else the
	// caller was in a hurry, and it is [Ignored]. Latency is known with policies that look at it,
	// and with [WithLatency].
	TimedOut
	// Unanswered: there was no answer within the time that every instance is given, which is more
	// than the slowest call takes. It is a [Failure], and more: see Silence in the package
	// documentation.
	Unanswered
)

// String returns the outcome in a word, as in labels of metrics.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Ignored:
		return "ignored"
	case TimedOut:
		return "timeout"
	case Unanswered:
		return "unanswered"
	}
	return "unknown"
}

const (
	// hurry times the expected latency is time enough for an instance to answer.
	hurry = 3
	// longSilence is longer than a pause for garbage collection.
	longSilence = time.Second
)

// Done takes the outcome of a call. It is a value; the zero Done does nothing. Call either
// [Done.Report], once, or [Done.Answered] and then [Done.Release], once each.
type Done struct {
	b     *Balancer
	n     *node
	began int64
	trial bool   // it shows whether an ejected instance works again
	kind  uint16 // the place of its kind in Balancer.kinds plus one; 0: not known
	soon  bool   // it counts as waiting, see quiet.go
}

// Since returns a Done to use instead of d, whose call counts from t on, if that is later than the
// pick. Use it when the caller took time to send the request: t is when the instance had received
// all of it. The time before says nothing about the instance.
func (d Done) Since(t time.Time) Done {
	if d.b != nil && d.b.needs&needsLatency != 0 {
		d.began = max(d.began, int64(t.Sub(d.b.epoch)))
	}
	return d
}

// Kind returns a Done to use instead of d, whose call is of a kind, named by its method, say. A
// call without an answer is then compared with the latency of its kind, on all instances: one slow
// method says nothing about an instance that answers others soon. A hash distinguishes 256 kinds.
//
// Call it at once when the instance gets the whole request, so that the call counts while it waits:
// see Silence in the package documentation. A call that may take its time, a stream or a long
// upload, say, gets its kind just before its end is reported.
func (d Done) Kind(name string) Done {
	if d.b != nil && d.b.needs&needsLatency != 0 {
		d.kind = uint16(hashKind(name)%kinds) + 1
		d.waits()
	}
	return d
}

// Report says that the call has ended.
func (d Done) Report(o Outcome) {
	d.Answered(o)
	d.Release()
}

// ReportErr is [Done.Report] for a call that returned an error: [Success] for nil, [Ignored] for
// context.Canceled, [TimedOut] for context.DeadlineExceeded, [Failure] for all others.
func (d Done) ReportErr(err error) {
	switch {
	case err == nil:
		d.Report(Success)
	case errors.Is(err, context.Canceled):
		d.Report(Ignored)
	case errors.Is(err, context.DeadlineExceeded):
		d.Report(TimedOut)
	default:
		d.Report(Failure)
	}
}

// Answered reports that the instance has answered, and with which outcome, while the call still
// goes on: the rest of an answer is read, say. The latency ends here.
func (d Done) Answered(o Outcome) {
	if d.b == nil {
		return
	}
	d.learn(o)
	if d.soon {
		d.n.heard()
	}
}

func (d *Done) learn(o Outcome) {
	measured := d.b.needs&needsLatency != 0
	var now int64
	if measured {
		now = d.b.now()
	}
	silent := false
	if o == TimedOut || o == Unanswered {
		o, silent = d.late(now, o == Unanswered)
	}
	if d.trial {
		d.n.tried(o)
		d.cleared(o, now)
	}
	if o == Ignored {
		return
	}
	if measured {
		d.n.sample(now, time.Duration(now-d.began), o == Failure)
		if d.kind > 0 && o == Success {
			d.b.kinds[d.kind-1].sample(now, time.Duration(now-d.began))
		}
	}
	switch {
	case silent:
		d.b.silent(d.n, d.began, now)
	case o == Failure:
		d.b.failed(d.n)
	default:
		d.n.spoke(now)
	}
}

// late returns what a call without an answer says, and whether the instance may be frozen.
func (d *Done) late(now int64, unanswered bool) (o Outcome, silent bool) {
	if d.b.needs&needsLatency == 0 {
		return Failure, false
	}
	if unanswered {
		return Failure, true
	}
	usual := d.n.expected()
	if d.kind == 0 {
		return blame(time.Duration(now-d.began), usual, usual)
	}
	return blame(time.Duration(now-d.began), usual, d.b.kinds[d.kind-1].expected())
}

// Release reports that the call no longer occupies the instance.
func (d Done) Release() {
	if d.b == nil {
		return
	}
	if d.b.needs&needsOutstanding != 0 {
		d.n.outstanding.Add(-1)
	}
	if d.b.needs&needsTotal != 0 {
		d.b.total.Add(-1)
	}
}
