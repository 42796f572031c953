package pick_test

import (
	"errors"
	"math"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Each invalid argument is an error that names it. Nothing panics.
func TestInvalidArgumentsAreErrors(t *testing.T) {
	list := []*discovery.Instance{{Service: "x", ID: "a", Addresses: []string{"a:1"}}}
	for what, b := range map[string]*pick.Balancer{
		"no policy":                 pick.New(nil),
		"a nil option":              pick.New(pick.P2C(), pick.WithWait(), nil),
		"no subscription":           pick.Follow(nil, pick.P2C()),
		"a negative warm-up":        pick.New(pick.P2C(), pick.WithWarmUp(-1)),
		"a negative spill-over":     pick.New(pick.P2C(), pick.WithSpillOver(-1)),
		"a negative subset":         pick.New(pick.P2C(), pick.WithSubset("me", -1)),
		"a subset of no client":     pick.New(pick.P2C(), pick.WithSubset("", 3)),
		"negative failures":         pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Failures: -1})),
		"too many failures":         pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Failures: 1 << 32})),
		"a negative ejection":       pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Base: -1})),
		"a negative limit of it":    pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Max: -1})),
		"a limit below the first":   pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Base: 2, Max: 1})),
		"a negative share":          pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Share: -0.1})),
		"more than all":             pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Share: 1.1})),
		"a share that is no number": pick.New(pick.P2C(), pick.WithEjection(pick.Ejection{Share: math.NaN()})),
	} {
		b.Update(list, nil)
		if err := b.Ready(t.Context()); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: Ready: %v", what, err)
		}
		if _, _, err := b.Pick(t.Context()); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: Pick: %v", what, err)
		}
		if _, _, err := b.PickOther(t.Context(), list...); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: PickOther: %v", what, err)
		}
		if _, _, err := b.PickMatching(t.Context(), "v1"); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: PickMatching: %v", what, err)
		}
		b.Statuses()
		b.Close()
	}
}

// What zero means is documented, and is no mistake.
func TestZeroIsNoMistake(t *testing.T) {
	b := pick.New(pick.P2C(), pick.WithWarmUp(0), pick.WithSpillOver(0), pick.WithSubset("", 0), pick.WithZone(""),
		pick.WithEjection(pick.Ejection{}), pick.WithNotify(nil), pick.WithHooks(pick.Hooks{}))
	defer b.Close()
	b.Update([]*discovery.Instance{{Service: "x", ID: "a", Addresses: []string{"a:1"}}}, nil)
	if err := b.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
