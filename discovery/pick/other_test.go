package pick

import (
	"errors"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
)

func TestPickOther(t *testing.T) {
	for _, p := range policies {
		b := loaded(t, p.policy, instances(5, 3))
		ctx := WithKey(t.Context(), "k")
		var tried []*discovery.Instance
		var open []Done
		for range 5 {
			in, done, err := b.PickOther(ctx, tried...)
			if err != nil {
				t.Fatal(err)
			}
			for _, was := range tried {
				if was.ID == in.ID {
					t.Errorf("%s: %s again", p.name, in.ID)
				}
			}
			tried, open = append(tried, in), append(open, done)
		}
		if _, _, err := b.PickOther(ctx, tried...); !errors.Is(err, ErrNoInstances) {
			t.Errorf("%s: %v", p.name, err)
		}
		for _, d := range open {
			d.Report(Success)
		}
		for _, s := range b.Statuses() {
			if s.Outstanding != 0 {
				t.Errorf("%s: %+v", p.name, s)
			}
		}
	}
}
