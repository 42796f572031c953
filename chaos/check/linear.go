package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// Linear checks that the operations on each key with the prefix scope are linearizable.
//
// The model of a key is its last change: value, revision, present or not. Reads must find exactly
// that. Writes must follow each other as their revisions say: a write that the truth contains must
// directly follow the previous change of its key. This makes the order of writes a witness, so it
// need not be searched for. Writes of unknown outcome are pending to the end of the history and
// would make such a search exponential. The check is whether the witness agrees with the clocks and
// with every read.
//
// A write of unknown outcome that the truth does not contain and no read saw is left out,
// since it can always be put behind everything else.
//
// It gives up on a key after limit, which is a violation too: nothing was proved.
func Linear(ops []history.Op, truth *history.Truth, scope string, end, limit time.Duration) []Violation {
	w, _ := writtenBy(truth)
	seen := make(map[[2]string]bool)
	for i := range ops {
		for _, kv := range ops[i].Saw {
			seen[[2]string{kv.Key, kv.Value}] = true
		}
	}
	before := changeBefore(truth)
	byKey := make(map[string][]porcupine.Operation)
	for i := range ops {
		o := &ops[i]
		if o.Kind == history.Range || o.Serializable {
			continue
		}
		in := step{op: o, rev: w.rev(o)}
		ret := o.Return
		switch {
		case o.Outcome == history.Failed:
			continue // a write that failed must leave no trace, which Order checks
		case o.Outcome == history.Unknown:
			if in.rev == 0 && !seen[[2]string{o.Mark(), o.Value}] {
				continue
			}
			ret = max(end, o.Return)
		}
		for _, k := range o.Keys {
			if !strings.HasPrefix(k, scope) {
				continue
			}
			in := in
			in.key, in.marker = k, o.Kind == history.Delete && k == o.Mark()
			if in.rev != 0 {
				in.before, in.known = before[change{k, in.rev}]
			}
			byKey[k] = append(byKey[k], porcupine.Operation{
				ClientId: o.Client, Input: in, Call: int64(o.Call), Return: int64(ret),
			})
		}
	}
	keys := make([]string, 0, len(byKey))
	for k := range byKey {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var bad []Violation
	for _, k := range keys {
		res, info := porcupine.CheckOperationsVerbose(model, byKey[k], limit)
		switch res {
		case porcupine.Unknown:
			bad = append(bad, violation("linear", "%s: not decided within %v (%d operations)", k, limit, len(byKey[k])))
		case porcupine.Illegal:
			bad = append(
				bad,
				violation(
					"linear",
					"%s: %d operations are not linearizable; %s",
					k,
					len(byKey[k]),
					stuck(byKey[k], info),
				),
			)
		}
	}
	return bad
}

// change is one change of one key.
type change struct {
	key string
	rev int64
}

// changeBefore gives for each change the revision of the key's change before it, 0 for
// the first.
func changeBefore(t *history.Truth) map[change]int64 {
	last := make(map[string]int64)
	m := make(map[change]int64, len(t.Events))
	for _, e := range t.Events {
		m[change{e.Key, e.Rev}] = last[e.Key]
		last[e.Key] = e.Rev
	}
	return m
}

// step is the model's input: an operation on one of its keys.
type step struct {
	op     *history.Op
	key    string
	marker bool  // this is the key that a delete writes, not the one it deletes
	rev    int64 // at which the truth has it; 0: does not
	before int64 // revision of the change of this key before rev
	known  bool  // before is set
}

// state is what the model knows of a key.
type state struct {
	rev     int64 // of the last change; 0: there was none; -1: by a write that the truth does not have
	value   string
	present bool
}

func (s state) modRev() int64 {
	if !s.present {
		return 0
	}
	return s.rev
}

// matches reports whether what was found is the state.
func (s state) matches(saw []history.KV, key string) bool {
	for _, kv := range saw {
		if kv.Key == key {
			return s.present && s.value == kv.Value && (s.rev == kv.ModRev || s.rev == -1)
		}
	}
	return !s.present
}

var model = porcupine.Model{
	Init:              func() any { return state{} },
	Step:              func(s, in, _ any) (bool, any) { return next(s.(state), in.(step)) },
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(in, _ any) string { return describe(in.(step).op) },
}

func next(s state, in step) (bool, state) {
	o := in.op
	ok := o.Outcome == history.OK
	if o.Kind == history.Get {
		return s.matches(o.Saw, in.key), s
	}
	if o.Kind == history.CAS && ok && !o.Applied {
		return s.matches(o.Saw, in.key) && s.modRev() != o.Expect, s
	}
	rev := in.rev
	if rev == 0 && ok {
		rev = o.Rev
	}
	gone := o.Kind == history.Delete && !in.marker
	if gone {
		if ok && !s.matches(o.Saw, in.key) {
			return false, s
		}
		if in.rev != 0 && !in.known {
			return !s.present && in.rev > s.rev, s // it was executed and found nothing
		}
	}
	switch {
	case o.Kind == history.CAS && s.modRev() != o.Expect && s.rev != -1:
		return false, s
	case in.known && s.rev != in.before:
		return false, s
	case rev == 0:
		rev = -1
	case rev <= s.rev:
		return false, s
	}
	if gone {
		return true, state{rev: rev}
	}
	return true, state{rev: rev, value: o.Value, present: true}
}

// stuck names the operations behind which no order could go on: the first that are
// missing in the longest order found.
func stuck(ops []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, l := range partition {
			if len(l) > len(longest) {
				longest = l
			}
		}
	}
	in := make(map[int]bool, len(longest))
	s := state{}
	for _, o := range longest {
		in[o.Input.(step).op.ID] = true
		_, s = next(s, o.Input.(step))
	}
	var left []*history.Op
	for _, o := range ops {
		if op := o.Input.(step).op; !in[op.ID] {
			left = append(left, op)
		}
	}
	slices.SortFunc(left, func(a, b *history.Op) int { return int(a.Return - b.Return) })
	var b strings.Builder
	fmt.Fprintf(
		&b,
		"after %d of them, with the key at revision %d = %q, none of these can be next:",
		len(longest),
		s.rev,
		s.value,
	)
	for _, o := range left[:min(len(left), 4)] {
		fmt.Fprintf(&b, "\n    %s", describe(o))
	}
	return b.String()
}
