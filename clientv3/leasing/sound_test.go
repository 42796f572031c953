package leasing

import (
	"testing"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// TestSound: a transaction that a server may refuse is not sound, in any branch.
// TestMistakesAreErrorsAndChangeNothing shows that servers refuse them.
func TestSound(t *testing.T) {
	put := func(key string) v3.Op { return v3.OpPut(key, "") }
	del := func(key string, opts ...v3.OpOption) v3.Op { return v3.OpDelete(key, opts...) }
	nested := func(thenOps, elseOps []v3.Op) v3.Op { return v3.OpTxn(nil, thenOps, elseOps) }
	type ops = []v3.Op
	for _, c := range []struct {
		name  string
		ops   ops
		sound bool
	}{
		{"nothing", nil, true},
		{"two keys", ops{put("a"), put("b")}, true},
		{"a key twice", ops{put("a"), put("a")}, false},
		{"put, then deleted in a range", ops{put("b"), del("a", v3.WithRange("c"))}, false},
		{"deleted in a range, then put", ops{del("a", v3.WithPrefix()), put("ab")}, false},
		{"deleted from a key on, then put", ops{del("a", v3.WithFromKey()), put("z")}, false},
		{"put beside a range", ops{put("c"), del("a", v3.WithRange("c"))}, true},
		{"deleted twice", ops{del("a"), del("a", v3.WithPrefix())}, true},
		{"read and put", ops{v3.OpGet("a"), put("a")}, true},
		{"here or there", ops{nested(ops{put("a")}, ops{put("a")})}, true},
		{"in a nested one and beside it", ops{nested(ops{put("a")}, nil), put("a")}, false},
		{"in two nested ones", ops{nested(ops{put("a")}, nil), nested(nil, ops{put("a")})}, false},
		{"twice in a nested one", ops{nested(nil, ops{put("a"), put("a")})}, false},
		{"an empty key", ops{put("")}, false},
		{"what is no operation", ops{{}}, false},
	} {
		for branch, op := range map[string]v3.Op{"then": v3.OpTxn(nil, c.ops, nil), "else": v3.OpTxn(nil, nil, c.ops)} {
			if got := sound(&op); got != c.sound {
				t.Errorf("%s, in %s: sound %v", c.name, branch, got)
			}
		}
	}
	both := v3.OpTxn(nil, ops{put("a")}, ops{put("a")})
	if !sound(&both) {
		t.Error("the branches exclude each other")
	}
}
