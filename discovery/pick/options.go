package pick

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// Option changes a [Balancer].
type Option func(*Balancer)

type config struct {
	wait     bool
	notify   func()
	hooks    []Hooks
	attempts bool // one of them takes attempts
	warmUp   time.Duration
	ejection Ejection
	eject    bool
	zones    []string // in their order; empty: all are alike
	spillAt  int64
	client   string           // chooses the subset
	size     int              // of a subset; 0: all
	filter   discovery.Filter // empty: all
}

func defaults() config {
	return config{eject: true, ejection: Ejection{}.orDefaults()}
}

// WithWait makes [Balancer.Pick] wait for an instance, until its context ends, instead of failing
// at once with [ErrNoInstances].
func WithWait() Option { return func(b *Balancer) { b.config.wait = true } }

// WithNotify sets a function that is called whenever there is a new set for picks. It is called
// from goroutines of the balancer, must return soon and must not close the balancer.
func WithNotify(f func()) Option { return func(b *Balancer) { b.config.notify = f } }

// WithLatency measures latency whatever the policy, so that a caller's short deadline is
// distinguished from an instance's long silence (see [TimedOut], [Unanswered]) and [Status.Latency]
// is known. It costs two readings of the clock for each call.
func WithLatency() Option { return func(b *Balancer) { b.needs |= needsLatency } }

// WithSeed makes random choices the same in each run, as far as goroutines are scheduled
// alike.
func WithSeed(seed uint64) Option {
	return func(b *Balancer) {
		b.rnd.seeded = true
		b.rnd.state.Store(seed)
	}
}

// WithWarmUp gives instances that appear after the first ones little at first, a tenth of their
// share, and all of it after d: caches fill and code is compiled meanwhile. 0, the default, turns
// that off.
func WithWarmUp(d time.Duration) Option {
	return func(b *Balancer) {
		if d < 0 {
			b.refuse("a warm-up of %v", d)
		}
		b.config.warmUp = d
	}
}

// WithEjection sets when failing instances are left out.
func WithEjection(e Ejection) Option {
	return func(b *Balancer) {
		if err := e.Validate(); err != nil {
			b.err = err
			return
		}
		b.config.eject, b.config.ejection = true, e.orDefaults()
	}
}

// WithoutEjection leaves no instance out, whatever is reported.
func WithoutEjection() Option { return func(b *Balancer) { b.config.eject = false } }

// WithZone prefers the instances of a zone, and then those of the others in the order given, before
// all the rest: calls leave a zone only if its instances cannot take them. That is judged by
// weights: while at least [DefaultHealthy] of the registered weight in the zone can be picked, all
// calls stay. Below that, the missing part of the calls goes to the next zone, which takes as much
// of it as the same rule allows, and so on; the last zone that has any instance takes the rest. An
// empty name is no zone.
func WithZone(zone string, then ...string) Option {
	return func(b *Balancer) {
		b.config.zones = nil
		for _, z := range append([]string{zone}, then...) {
			if z != "" && !slices.Contains(b.config.zones, z) {
				b.config.zones = append(b.config.zones, z)
			}
		}
	}
}

// WithSpillOver lets calls leave a zone also when the picked instance has that many calls of this
// client under way, if one in a later zone has fewer. 0, the default, turns that off.
func WithSpillOver(outstanding int) Option {
	return func(b *Balancer) {
		if outstanding < 0 {
			b.refuse("calls leave a zone at %d calls under way", outstanding)
		}
		b.config.spillAt = int64(outstanding)
	}
}

// WithSubset picks from a subset of the instances only, see [Subset]. With [WithZone] the subset
// has size instances of each zone, and size of all others. A size of 0, the default, picks from
// all. The client must not be empty: all clients would choose the same instances.
func WithSubset(client string, size int) Option {
	return func(b *Balancer) {
		if size < 0 || size > 0 && client == "" {
			b.refuse("a subset of %d instances for the client %q", size, client)
		}
		b.config.client, b.config.size = client, size
	}
}

// refuse notes an invalid option.
func (b *Balancer) refuse(format string, args ...any) { b.err = invalid(format, args...) }

func invalid(format string, args ...any) error {
	return fmt.Errorf("pick: %w: %s", discovery.ErrInvalid, fmt.Sprintf(format, args...))
}
