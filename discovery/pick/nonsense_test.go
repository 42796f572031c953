package pick_test

import (
	"errors"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Each invalid argument is an error that says so, and none panics.
func TestNonsense(t *testing.T) {
	list := []*discovery.Instance{{Service: "x", ID: "a", Addresses: []string{"a:1"}}}
	for what, b := range map[string]*pick.Balancer{
		"no policy":       pick.New(nil),
		"a nil option":    pick.New(pick.P2C(), pick.WithWait(), nil),
		"no subscription": pick.Follow(nil, pick.P2C()),
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
