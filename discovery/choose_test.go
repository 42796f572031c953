package discovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/btree"
)

// TestChoose: the views of all clusters decide which one is shown. "-" stands for no answer yet,
// and "3/2" for a view of three instances, two of them draining.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		views   string
		overdue bool
		want    int
	}{
		{"-", false, 0}, {"-", true, 0}, {"0/0", false, 0}, {"1/0", true, 0},
		{"1/0 1/0", false, 0}, {"3/2 1/0", false, 0}, {"1/0 -", false, 0},
		{"0/0 1/0", false, 1}, {"2/2 1/0", false, 1}, // none takes work
		{"0/0 0/0", false, 0}, {"2/2 0/0", true, 0}, {"2/2 3/3", true, 0},
		{"- 1/0", false, 0}, {"- 1/0", true, 1}, {"- 0/0", true, 1}, {"- -", true, 0},
		{"0/0 - 1/0", false, 0}, {"0/0 - 1/0", true, 2}, {"- 1/1 1/0", true, 2}, {"- 1/1 0/0", true, 1},
	} {
		var views []*View
		for _, text := range strings.Fields(c.views) {
			var v *View
			if text != "-" {
				var n, draining int
				fmt.Sscanf(text, "%d/%d", &n, &draining)
				v = &View{tree: new(btree.Map[string, *Instance]), draining: draining}
				for i := range n {
					v.tree.Set(fmt.Sprint(i), new(Instance))
				}
			}
			views = append(views, v)
		}
		if got := choose(len(views), func(i int) *View { return views[i] }, c.overdue); got != c.want {
			t.Errorf("%s, overdue %v: %d, not %d", c.views, c.overdue, got, c.want)
		}
	}
}
