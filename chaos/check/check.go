// Package check judges the history of a run. Each checker is a function of recorded facts only, so
// that tests can feed it both good and bad histories.
package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// Violation is something that must not happen.
type Violation struct {
	Check string // the checker
	Text  string // what happened, with the operations involved
}

func (v Violation) String() string { return v.Check + ": " + v.Text }

func violation(check, format string, args ...any) Violation {
	return Violation{check, fmt.Sprintf(format, args...)}
}

// describe is an operation in a line.
func describe(o *history.Op) string {
	var b strings.Builder
	fmt.Fprintf(
		&b,
		"op %d by client %d, %s..%s: %s %s",
		o.ID,
		o.Client,
		clock(o.Call),
		clock(o.Return),
		o.Kind,
		strings.Join(o.Keys, ","),
	)
	if o.Kind.Writes() {
		fmt.Fprintf(&b, " = %q", o.Value)
	}
	if o.Kind == history.CAS {
		fmt.Fprintf(&b, " if at %d", o.Expect)
	}
	fmt.Fprintf(&b, " -> %s", o.Outcome)
	if o.Outcome != history.OK {
		return b.String() + " (" + o.Err + ")"
	}
	fmt.Fprintf(&b, " at revision %d", o.Rev)
	if o.Kind == history.CAS {
		fmt.Fprintf(&b, ", applied: %v", o.Applied)
	}
	if !o.Kind.Writes() || len(o.Saw) > 0 {
		fmt.Fprintf(&b, ", saw %s", found(o.Saw))
	}
	return b.String()
}

func found(kvs []history.KV) string {
	if len(kvs) == 0 {
		return "nothing"
	}
	var l []string
	for _, kv := range kvs {
		l = append(l, fmt.Sprintf("%s=%q@%d", kv.Key, kv.Value, kv.ModRev))
	}
	return strings.Join(l, " ")
}

func event(e history.Event) string {
	if e.Delete {
		return fmt.Sprintf("delete %s @%d", e.Key, e.Rev)
	}
	return fmt.Sprintf("put %s=%q @%d", e.Key, e.Value, e.Rev)
}

func clock(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// written maps what a write leaves in the store to its revision. Each operation writes a value of
// its own, so key and value name the event.
type written map[[2]string]int64

// writtenBy indexes the truth. An event that appears twice is a write that was executed twice.
func writtenBy(t *history.Truth) (written, []Violation) {
	w := make(written)
	var bad []Violation
	for _, e := range t.Events {
		if e.Delete {
			continue
		}
		k := [2]string{e.Key, e.Value}
		if first, ok := w[k]; ok {
			bad = append(
				bad,
				violation(
					"once",
					"the value %q of %s was written at revision %d and again at %d",
					e.Value,
					e.Key,
					first,
					e.Rev,
				),
			)
			continue
		}
		w[k] = e.Rev
	}
	return w, bad
}

// rev is the revision at which an operation took effect, 0 if it did not.
func (w written) rev(o *history.Op) int64 { return w[[2]string{o.Mark(), o.Value}] }
