package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// known is a difference that is meant; docs/differences.md tells users of it.
type known struct {
	name   string
	reason string
	// is says whether a step shows it.
	is func(s script.Step, d report.Difference) bool
	// line says whether a line that only one side has is it.
	line func(line string, ours bool) bool
	// apart: the servers' states differ from then on, so that the rest of the program is not compared.
	apart bool
	// chance: it does not show each time, so no test insists on it.
	chance bool
}

var table = []known{
	{
		name:   "what makes no sense is an error",
		reason: "the official client panics, which takes the whole program down; nothing is sent either way",
		is: func(s script.Step, d report.Difference) bool {
			// An operation that is only looked at says nothing.
			return only(d.Theirs, "panic: ") && (s.Call == "Op" || refused(d.Ours))
		},
	},
	{
		name:   "a watch that makes no sense ends with an error",
		reason: "as above; a channel is all that Watch can return",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "Watch" && only(d.Theirs, "panic: ") && len(d.Ours) == 0
		},
		apart: true,
	},
	{
		name:   "a watch is no operation of a KV",
		reason: "the official client executes it as a get, without a word about its options",
		is: func(s script.Step, d report.Difference) bool {
			if (s.Call != "Op" && s.Call != "Do") || s.Then[0].Call != "Watch" {
				return false
			}
			return s.Call == "Op" && len(d.Ours) == len(d.Theirs) || refused(d.Ours)
		},
	},
	{
		name:   "a comparison of nothing is refused before it is sent",
		reason: "it says what is missing; the server would only say that there is no key",
		is: func(s script.Step, d report.Difference) bool {
			return only(d.Theirs, `rpctypes error InvalidArgument "etcdserver: key is not provided"`) && refused(d.Ours) &&
				contains(s, func(s script.Step) bool {
					return slices.ContainsFunc(s.If, func(c script.Compare) bool { return c.NoTarget })
				})
		},
	},
	{
		name:   "a lease without time is refused",
		reason: "the server would make a time up",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "Grant" && s.N <= 0 && refused(d.Ours)
		},
		apart: true,
	},
	{
		name:   "renewals that halted say why",
		reason: "the official error has no reason, or that of a context which is not the caller's",
		is: func(_ script.Step, d report.Difference) bool {
			return (only(d.Theirs, "keepalive halted: no error") || only(d.Theirs, "keepalive halted: == context.Canceled")) &&
				only(d.Ours, "keepalive halted: error of code Canceled")
		},
	},
	{
		name:   "closing twice is no failure",
		reason: "what was wanted is so",
		line: func(l string, ours bool) bool {
			return !ours && strings.HasPrefix(l, "close \"") && strings.HasSuffix(l, ": == context.Canceled, IsConnCanceled")
		},
	},
	{
		name:   "a cancelled watch has the server's reason",
		reason: "the official client leaves the field empty",
		line:   func(l string, ours bool) bool { return ours && strings.HasPrefix(l, "cancel reason ") },
	},
	{
		name:   "disarming all alarms has a header",
		reason: "every other response has one",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "AlarmDisarm" && only(d.Theirs, "{}") && only(d.Ours, "{Header:{")
		},
	},
	{
		name:   "a peer address that is none is InvalidArgument",
		reason: "the official error has no code, and does not say which address it is",
		is: func(s script.Step, d report.Difference) bool {
			return strings.HasPrefix(s.Call, "Member") && only(d.Theirs, "error of code Unknown: ") && refused(d.Ours)
		},
	},
	{
		name:   "a denied watch ends with ErrPermissionDenied",
		reason: "the official error is a text that begins with a code",
		line: func(l string, ours bool) bool {
			if ours {
				return l == `cancelled true compacted {}: rpctypes error PermissionDenied "etcdserver: permission denied"`
			}
			return l == `cancelled true compacted {}: error of code Unknown: "rpc error: code = PermissionDenied desc = etcdserver: permission denied"`
		},
	},
	{
		name:   "what is wrong with a call is said before its context is looked at",
		reason: "it helps more",
		is: func(_ script.Step, d report.Difference) bool {
			return (only(d.Theirs, "== context.Canceled") || only(d.Theirs, "== context.DeadlineExceeded")) && refused(d.Ours)
		},
	},
	{
		name:   "GetStream returns the error that it knows at once",
		reason: "the official client sends it through the channel",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "GetStream" && len(d.Ours) == 1 && slices.Equal(d.Theirs, []string{"stream: " + d.Ours[0] + ", response false", "[]"})
		},
	},
	{
		name:   "a watch from a compacted revision ends with one response",
		chance: true,
		reason: "the official client sends two, the second of which does not say what was compacted",
		line: func(l string, _ bool) bool {
			return l == `cancelled true compacted {}: rpctypes error OutOfRange "etcdserver: mvcc: required revision has been compacted"`
		},
	},
	{
		name:   "nobody is the owner of a mutex that was never locked",
		reason: "the official comparison is of no key, which the server refuses",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "IsOwner" && only(d.Theirs, `rpctypes error InvalidArgument "etcdserver: key is not provided"`) && only(d.Ours, "{Header:{")
		},
	},
	{
		name:   "leasing tells what was deleted, and has no empty lists",
		reason: "the official leasing answers for a delete of a key that it owns without the number",
		is: func(_ script.Step, d report.Difference) bool {
			strip := func(lines []string) string { return deleted.ReplaceAllString(strings.Join(lines, "\n"), "") }
			return strip(d.Theirs) == strip(d.Ours)
		},
	},
	{
		name:   "a watch from a compacted revision does not keep the others from progress",
		chance: true,
		reason: "the official client does not tell the server that it has ended",
		is: func(s script.Step, d report.Difference) bool {
			n := len(d.Theirs)
			return s.Call == "Progress" && n > 0 && d.Theirs[n-1] == "no progress within 5s" && len(d.Ours) == n &&
				strings.HasPrefix(d.Ours[n-1], "progress {") && slices.Equal(d.Theirs[:n-1], d.Ours[:n-1])
		},
	},
	{
		name:   "a closed client asks no single endpoint either",
		reason: "it is closed",
		is: func(s script.Step, d report.Difference) bool {
			return only(d.Theirs, "{Header:{") && only(d.Ours, "error of code Canceled: ")
		},
	},
	{
		name:   "a snapshot that cannot begin fails at once, or with its context",
		reason: "it has a connection of its own; the official client returns a reader whose first Read fails",
		chance: true,
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "Snapshot" && len(d.Ours) == 1 && strings.HasPrefix(d.Ours[0], "== context.") &&
				slices.Equal(d.Theirs, []string{"something false, " + d.Ours[0] + ", close no error"})
		},
	},
	{
		name:   "an error's text says more",
		reason: "it begins as the official one; the call and what was tried follow",
		is: func(_ script.Step, d report.Difference) bool {
			return len(d.Theirs) == len(d.Ours) && slices.EqualFunc(d.Theirs, d.Ours, saysMore)
		},
	},
	{
		name:   "GetStream works through wrappers and from a cache",
		reason: "the official wrappers refuse it, and the server some options that a cache knows",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "GetStream" && strings.Contains(strings.Join(d.Theirs, ""), "error of code Unimplemented: ") &&
				(strings.Contains(d.Theirs[0], "GetStream is not supported by ") || only(d.Ours, "{Header:{") || len(d.Ours) == 2 && strings.HasPrefix(d.Ours[0], "header {"))
		},
	},
	{
		name:   "a type of permission that does not exist is InvalidArgument",
		reason: "the official error of StrToPermissionType has no code",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "StrToPermissionType" && only(d.Theirs, `-1 error of code Unknown: "invalid permission type:`) &&
				only(d.Ours, `-1 error of code InvalidArgument: "etcd client: invalid permission type:`)
		},
	},
	{
		name:   "leasing and ordering together do not doubt an answer from memory",
		reason: "ours carries the newest revision that the owner knows, the official one an older one",
		chance: true,
		is: func(s script.Step, d report.Difference) bool {
			return only(d.Theirs, "== ordering.ErrNoGreaterRev") && only(d.Ours, "{Header:{")
		},
	},
	{
		name:   "an empty transaction of leasing looks at its context",
		reason: "every call does; the official leasing answers from memory although the context has ended",
		chance: true,
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "Txn" && len(s.If)+len(s.Then)+len(s.Else) == 0 && only(d.Theirs, "{Header:{") &&
				(only(d.Ours, "== context.Canceled") || only(d.Ours, "== context.DeadlineExceeded"))
		},
	},
}

var deleted = regexp.MustCompile(` Deleted:1( PrevKvs:\[\{[^}]*\}\])?| Responses:\[\]`)

var text = regexp.MustCompile(`^(.*error of code .*?: ")([^"]*)(".*)$`)

// saysMore is whether our line is theirs, or differs only in that the text of its error goes on in parentheses.
func saysMore(theirs, ours string) bool {
	t, o := text.FindStringSubmatch(theirs), text.FindStringSubmatch(ours)
	if t == nil || o == nil {
		return theirs == ours
	}
	return t[1] == o[1] && t[3] == o[3] && (t[2] == o[2] || strings.HasPrefix(o[2], t[2]+" ("))
}

// only is whether there is one line, which begins so.
func only(lines []string, begin string) bool {
	return len(lines) == 1 && strings.HasPrefix(lines[0], begin)
}

// refused is whether nothing was sent because it was invalid.
func refused(lines []string) bool {
	return only(lines, "error of code InvalidArgument: ") || only(lines, "rpctypes error InvalidArgument ")
}

// contains is whether a step or an operation in it is so.
func contains(s script.Step, is func(script.Step) bool) bool {
	inner := func(op script.Step) bool { return contains(op, is) }
	return is(s) || slices.ContainsFunc(s.Then, inner) || slices.ContainsFunc(s.Else, inner)
}

// sift separates the differences of a program that are not known from those that are, which it counts by name.
func sift(p script.Program, diffs []report.Difference) (unknown []report.Difference, counts map[string]int) {
	counts = make(map[string]int)
	for _, d := range diffs {
		var s script.Step
		if d.Step < len(p.Steps) {
			s = p.Steps[d.Step]
		}
		d, apart := explainKnown(s, d, counts)
		if apart {
			return unknown, counts
		}
		if !slices.Equal(d.Theirs, d.Ours) {
			unknown = append(unknown, d)
		}
	}
	return unknown, counts
}

// explainKnown takes what is known out of a difference; apart is whether the rest of the program means nothing.
func explainKnown(s script.Step, d report.Difference, counts map[string]int) (rest report.Difference, apart bool) {
	for _, k := range table {
		switch {
		case slices.Equal(d.Theirs, d.Ours):
			return d, false
		case k.is != nil && k.is(s, d):
			counts[k.name]++
			return report.Difference{Step: d.Step}, k.apart
		case k.line != nil:
			d.Theirs = without(d.Theirs, k, false, counts)
			d.Ours = without(d.Ours, k, true, counts)
		}
	}
	return d, false
}

func without(lines []string, k known, ours bool, counts map[string]int) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		if !k.line(l, ours) {
			return false
		}
		counts[k.name]++
		return true
	})
}
