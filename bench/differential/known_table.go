package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// table lists the known differences in the order in which they are tried.
var table = []known{
	{
		name:   "GetStream works through wrappers and from a cache",
		reason: "the official wrappers refuse it, and the server some options that a cache knows",
		when:   under(""),
		// The stream must return what Get returns.
		rewrite: func(s script.Step, d report.Difference) report.Difference {
			if s.Call != "GetStream" || len(d.Theirs) == 0 || d.Theirs[0] != "no streams here" {
				return d
			}
			d.Theirs = d.Theirs[1:]
			if text, failed := strings.CutPrefix(d.Ours[0], "stream: "); failed && len(d.Ours) == 2 &&
				d.Ours[1] == "[]" {
				d.Ours = []string{strings.TrimSuffix(text, ", response false")}
			}
			if only(d.Ours, "error of code Unimplemented: ") {
				d.Theirs = d.Ours // the server has no such stream
			}
			return d
		},
	},
	{
		name:   "what makes no sense is an error",
		reason: "the official client panics, which takes the whole program down; nothing is sent either way",
		is: func(s script.Step, d report.Difference) bool {
			// An operation that is only inspected reports nothing.
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
			return only(d.Theirs, `rpctypes error InvalidArgument "etcdserver: key is not provided"`) &&
				refused(d.Ours) &&
				contains(s, func(s script.Step) bool {
					return slices.ContainsFunc(s.If, func(c script.Compare) bool { return c.NoTarget })
				})
		},
	},
	{
		name:   "renewals that halted say why",
		reason: "the official error has no reason, or that of a context which is not the caller's",
		is: func(_ script.Step, d report.Difference) bool {
			return (only(d.Theirs, "keepalive halted: no error") ||
				only(d.Theirs, "keepalive halted: == context.Canceled")) &&
				only(d.Ours, "keepalive halted: error of code Canceled")
		},
	},
	{
		name:   "closing twice is no failure",
		reason: "what was wanted is so",
		rewrite: func(s script.Step, d report.Difference) report.Difference {
			const failure = "== context.Canceled, IsConnCanceled"
			d.Theirs = slices.DeleteFunc(slices.Clone(d.Theirs), func(l string) bool {
				return strings.HasPrefix(l, "close \"") && strings.HasSuffix(l, ": "+failure)
			})
			if rest, failed := strings.CutPrefix(strings.Join(d.Theirs, ""), failure+", context "); s.Call == "Close" &&
				failed {
				d.Theirs = []string{"no error, context " + rest}
			}
			return d
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
		name:   "a watch from a compacted revision ends with one response",
		chance: true,
		reason: "the official client sends two, the second of which does not say what was compacted, or has the text " +
			"of another watch",
		rewrite: func(_ script.Step, d report.Difference) report.Difference {
			d.Theirs = slices.Clone(d.Theirs)
			for i := len(d.Theirs) - 2; i >= 0; i-- {
				if d.Theirs[i+1] == "closed" && i > 0 &&
					strings.HasPrefix(d.Theirs[i], "cancelled true compacted {}: ") &&
					strings.HasPrefix(d.Theirs[i-1], "cancelled true compacted {") {
					d.Theirs = slices.Delete(d.Theirs, i, i+1)
				}
			}
			return d
		},
	},
	{
		name:   "a watch that the server refuses ends with the error's value",
		reason: "the official error is a text that begins with a code",
		rewrite: func(_ script.Step, d report.Difference) report.Difference {
			if len(d.Theirs) != len(d.Ours) {
				return d
			}
			d.Theirs = slices.Clone(d.Theirs)
			for i, l := range d.Theirs {
				m := refusedWatch.FindStringSubmatch(l)
				if m != nil &&
					strings.HasPrefix(d.Ours[i], `cancelled true compacted {}: rpctypes error `+m[1]+` "`+m[2]) {
					d.Theirs[i] = d.Ours[i]
				}
			}
			return d
		},
	},
	{
		name:   "what is wrong with a call is said first",
		reason: "it helps more than that its context has ended or its client is closed",
		is: func(_ script.Step, d report.Difference) bool {
			return (ended(d.Theirs) || closed(d.Theirs)) &&
				(refused(d.Ours) || only(d.Ours, `rpctypes error OutOfRange "etcdserver: too large lease TTL"`))
		},
	},
	{
		name:   "GetStream returns the error that it knows at once",
		reason: "the official client sends it through the channel",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "GetStream" && len(d.Ours) == 1 &&
				slices.Equal(d.Theirs, []string{"stream: " + d.Ours[0] + ", response false", "[]"})
		},
	},
	{
		name:   "nobody is the owner of a mutex that was never locked",
		reason: "the official comparison is of no key, which the server refuses",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "IsOwner" &&
				only(d.Theirs, `rpctypes error InvalidArgument "etcdserver: key is not provided"`) &&
				only(d.Ours, "{Header:{")
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
			return slices.Contains([]string{"Status", "HashKV", "Defragment"}, s.Call) &&
				(only(d.Theirs, "{Header:{") || only(d.Theirs, "{}") || only(d.Theirs, "rpctypes error OutOfRange ")) &&
				only(d.Ours, "error of code Canceled: ")
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
		name: "a stream whose user cannot log in any more fails when it is read",
		reason: "the official client logs in for each stream; ours when the server refuses its token, which comes " +
			"instead of the first part",
		is: func(s script.Step, d report.Difference) bool {
			return only(d.Theirs, `rpctypes error InvalidArgument "etcdserver: authentication failed`) &&
				(s.Call == "Snapshot" &&
					slices.Equal(d.Ours, []string{"something false, " + d.Theirs[0] + ", close no error"}) ||
					s.Call == "GetStream" &&
						slices.Equal(d.Ours, []string{"stream: " + d.Theirs[0] + ", response false", "[]"}) ||
					// Or the server checks the request first.
					s.Call == "GetStream" &&
						strings.Contains(strings.Join(d.Ours, ""), "desc = RangeStream does not support "))
		},
	},
	{
		name:   "a type of permission that does not exist is InvalidArgument",
		reason: "the official error of StrToPermissionType has no code",
		is: func(s script.Step, d report.Difference) bool {
			return s.Call == "StrToPermissionType" &&
				only(d.Theirs, `-1 error of code Unknown: "invalid permission type:`) &&
				only(d.Ours, `-1 error of code InvalidArgument: "etcd client: invalid permission type:`)
		},
	},
	{
		name:   "a cache has history that the server has compacted",
		reason: "a watch that it can serve from its own goes on",
		chance: true,
		when:   under("cache"),
		apart:  true, // one of the two watches goes on
		rewrite: func(_ script.Step, d report.Difference) report.Difference {
			if slices.ContainsFunc(d.Ours, toldOfCompaction) {
				return d
			}
			for _, section := range sections(d.Theirs) {
				if slices.ContainsFunc(section, toldOfCompaction) {
					d.Theirs, d.Ours = besides(d.Theirs, section[0]), besides(d.Ours, section[0])
				}
			}
			return d
		},
	},
	{
		name:   "an election whose key is gone leads nothing",
		reason: "the official one asks the server about no key",
		is: func(s script.Step, d report.Difference) bool {
			return (s.Call == "Proclaim" || s.Call == "Resign") && len(d.Theirs) == 2 && len(d.Ours) == 2 &&
				d.Theirs[1] == d.Ours[1] &&
				d.Theirs[0] == `rpctypes error InvalidArgument "etcdserver: key is not provided"` &&
				(d.Ours[0] == "== concurrency.ErrElectionNotLeader" || d.Ours[0] == "no error")
		},
	},
	{
		name:   "a watch on a closed client says so",
		reason: "a channel that is closed without a word looks like the end of the caller's own context",
		line: func(l string, ours bool) bool {
			return ours && l == `cancelled true compacted {}: error of code Canceled: `+
				`"rpc error: code = Canceled desc = grpc: the client connection is closing (Watch.Watch)", IsConnCanceled`
		},
	},
	{
		name: "a watch goes on with another token",
		reason: "the official client's stream keeps the one that it began with, and ends what the server refuses for " +
			"it",
		chance: true,
		apart:  true, // the watch ends at another time
		when: func(p script.Program, _ int) bool {
			return slices.ContainsFunc(p.Steps, func(s script.Step) bool {
				return slices.Contains(
					[]string{"UserChangePassword", "UserDelete", "AuthDisable", "AuthEnable"},
					s.Call,
				)
			})
		},
		rewrite: func(_ script.Step, d report.Difference) report.Difference {
			const refused = `cancelled true compacted {}: error of code Unknown: "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"`
			i := slices.Index(d.Theirs, refused)
			if i < 0 || i >= len(d.Ours) || !slices.Equal(d.Theirs[:i], d.Ours[:i]) {
				return d
			}
			n := slices.IndexFunc(d.Ours[i:], func(l string) bool {
				return l != "created" && !isEvent(l)
			})
			switch {
			case n < 0:
				d.Theirs, d.Ours = d.Theirs[:i], d.Ours[:i]
			case n == 0 &&
				strings.HasPrefix(d.Ours[i], `cancelled true compacted {}: rpctypes error PermissionDenied `):
				// With a valid token it is refused what it may not see.
				d.Theirs = slices.Clone(d.Theirs)
				d.Theirs[i] = d.Ours[i]
			case n > 0:
				d.Theirs = slices.Delete(slices.Clone(d.Theirs), i, i+1)
				d.Ours = slices.Delete(slices.Clone(d.Ours), i, i+n)
			}
			return d
		},
	},
	{
		name:   "a watch has the rights that its user has now",
		reason: "the official client's stream keeps what it began with, before authentication was enabled",
		chance: true,
		when: func(p script.Program, _ int) bool {
			return slices.ContainsFunc(p.Steps, func(s script.Step) bool { return s.Call == "AuthEnable" })
		},
		rewrite: func(_ script.Step, d report.Difference) report.Difference {
			const (
				nobody = `cancelled true compacted {}: error of code Unknown: "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"`
				denied = `cancelled true compacted {}: rpctypes error PermissionDenied "etcdserver: permission denied"`
			)
			theirs, ours := sections(d.Theirs), sections(d.Ours)
			if len(theirs) != len(ours) {
				return d
			}
			d.Theirs, d.Ours = nil, nil
			for i, t := range theirs {
				if begun := slices.DeleteFunc(slices.Clone(t), isEvent); slices.Contains(ours[i], denied) &&
					(slices.Contains(t, nobody) || len(begun) < len(t)) &&
					slices.Equal(slices.DeleteFunc(begun, func(l string) bool { return l == nobody }),
						slices.DeleteFunc(slices.Clone(ours[i]), func(l string) bool { return l == denied })) {
					t = ours[i]
				}
				d.Theirs, d.Ours = append(d.Theirs, t...), append(d.Ours, ours[i]...)
			}
			return d
		},
	},
	{
		name:   "a watch whose user cannot log in any more says so",
		reason: "the official error is a text of the server's about the token that was there before",
		rewrite: func(_ script.Step, d report.Difference) report.Difference {
			const (
				theirs = `cancelled true compacted {}: error of code Unknown: "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"`
				ours   = `cancelled true compacted {}: rpctypes error InvalidArgument "etcdserver: authentication failed, invalid user ID or password"`
			)
			if len(d.Theirs) == len(d.Ours) {
				d.Theirs = slices.Clone(d.Theirs)
				for i, l := range d.Theirs {
					if l == theirs && d.Ours[i] == ours {
						d.Theirs[i] = ours
					}
				}
			}
			return d
		},
	},
	{
		name: "a user who cannot log in any more learns that first",
		reason: "the official client goes on with the token that was refused, so that the server may find something " +
			"else wrong; or logs in " +
			"for a stream although the server would refuse what it asks for",
		chance: true,
		when: func(p script.Program, step int) bool {
			return slices.ContainsFunc(
				p.Steps[:step],
				func(s script.Step) bool { return s.Call == "UserDelete" || s.Call == "UserChangePassword" },
			)
		},
		is: func(s script.Step, d report.Difference) bool {
			const refusal = `rpctypes error InvalidArgument "etcdserver: authentication failed, invalid user ID or password"`
			// A user without a password gets another text.
			const without = `error of code Unknown: "rpc error: code = Unknown desc = auth: authentication failed, password was given for no"`
			return only(d.Theirs, "rpctypes error InvalidArgument ") &&
				(slices.Equal(d.Ours, []string{refusal}) || slices.Equal(d.Ours, []string{without})) ||
				s.Call == "GetStream" && slices.Equal(d.Theirs, []string{refusal}) && refused(d.Ours)
		},
	},
	{
		name:   "without a leader a call is repeated until its context ends",
		reason: "there may be one soon; the official client returns the server's refusal at once",
		rewrite: func(s script.Step, d report.Difference) report.Difference {
			if !s.Ctx.RequireLeader || !ends(s.Ctx) || len(d.Theirs) != len(d.Ours) {
				return d
			}
			d.Theirs = slices.Clone(d.Theirs)
			for i, l := range d.Theirs {
				for _, begin := range []string{"", "stream: "} {
					if strings.HasPrefix(l, begin+`rpctypes error Unavailable "etcdserver: no leader"`) &&
						strings.HasPrefix(d.Ours[i], begin+"== context.") {
						d.Theirs[i] = d.Ours[i]
					}
				}
			}
			return d
		},
	},
	{
		name: "a write waits for a member that finishes calls, as long as its context lasts",
		reason: "in an election the servers lose what is proposed; so what they would refuse at once is not refused " +
			"yet",
		chance: true,
		when:   func(p script.Program, _ int) bool { return p.Family == "quorum" },
		is: func(s script.Step, d report.Difference) bool {
			return slices.Contains([]string{"Put", "Delete", "Txn", "Do"}, s.Call) && ends(s.Ctx) &&
				only(d.Theirs, "rpctypes error InvalidArgument ") && ended(d.Ours)
		},
	},
	{
		name:   "a server's time-out at the end of a call's time is the deadline",
		reason: "the server gives up after as long as the call's own time; which of the two is first is chance",
		chance: true,
		when:   func(p script.Program, _ int) bool { return p.Family == "quorum" },
		is: func(_ script.Step, d report.Difference) bool {
			return strings.Contains(strings.Join(d.Theirs, " "), `"etcdserver: request timed out"`) &&
				strings.Contains(strings.Join(d.Ours, " "), "== context.DeadlineExceeded")
		},
	},
	{
		name:   "ResumeElection takes the prefix that NewElection takes",
		reason: "the official one takes the prefix with the slash, and without it campaigns beside the others",
		when: func(p script.Program, step int) bool {
			return step < len(p.Steps) && slices.ContainsFunc(p.Steps[:step], func(s script.Step) bool {
				return s.Call == "ResumeElection" && s.Ref == p.Steps[step].Ref && s.Key == p.Steps[step].Key
			})
		},
		is: func(s script.Step, d report.Difference) bool {
			slash := strings.NewReplacer(`key "`+s.Key+"/<", `key "`+s.Key+"<")
			return s.Call == "Campaign" && len(d.Theirs) == 2 && len(d.Ours) == 2 && d.Ours[0] == "no error" &&
				// It waits for its own key if it has not given that up.
				(d.Theirs[0] == "== context.DeadlineExceeded" ||
					d.Theirs[0] == "no error" && slash.Replace(d.Ours[1]) == d.Theirs[1])
		},
		apart: true,
	},
	{
		name: transparent,
		reason: "ours is as the official client without it. The official one does not tell what was deleted, counts " +
			"deleted keys, gives values " +
			"to reads of keys only, compares with what it has in memory, does not look at a call's context, and " +
			"hangs " +
			"now and then",
	},
	{
		name:   "an empty value from a leasing client's memory is nil",
		reason: "as from the server; the official client gives what was put, until it reads it again",
		chance: true,
		when:   under("leasing"),
		rewrite: func(_ script.Step, d report.Difference) report.Difference {
			d.Theirs = slices.Clone(d.Theirs)
			for i, l := range d.Theirs {
				d.Theirs[i] = strings.ReplaceAll(l, ` Value:""`, "")
			}
			return d
		},
	},
	{
		name:   "an error's text says more",
		reason: "it begins as the official one; the call and what was tried follow",
		is: func(_ script.Step, d report.Difference) bool {
			return len(d.Theirs) == len(d.Ours) && slices.EqualFunc(d.Theirs, d.Ours, saysMore)
		},
	},
}

// under selects programs with a layer of that kind in their stack, or with any layer if kind is
// empty.
func under(kind string) func(script.Program, int) bool {
	return func(p script.Program, _ int) bool {
		return slices.ContainsFunc(p.Stack, func(l script.Layer) bool { return kind == "" || l.Kind == kind })
	}
}

var refusedWatch = regexp.MustCompile(
	`^cancelled true compacted \{\}: error of code Unknown: "rpc error: code = (\w+) desc = (.+)"$`,
)

// besides returns the lines that do not belong to the watch whose lines start with begin. If begin
// is not the name of a watch, there is only one watch.
func besides(lines []string, begin string) (rest []string) {
	for _, list := range sections(lines) {
		mine := !watchName.MatchString(begin) || list[0] == begin
		rest = append(
			rest,
			slices.DeleteFunc(slices.Clone(list), func(l string) bool { return mine && ofWatch.MatchString(l) })...)
	}
	return rest
}

var ofWatch = regexp.MustCompile(
	`^(w[0-9]+:|closed|created|(PUT|DELETE) create .*|cancel.*|progress .*|no progress .*)$`,
)

// isEvent reports whether a line is an event of a watch.
func isEvent(l string) bool {
	return strings.HasPrefix(l, "PUT create ") || strings.HasPrefix(l, "DELETE create ")
}

// sections returns the lines of each watch, after the lines that come before the first.
func sections(lines []string) [][]string {
	var list [][]string
	for _, l := range lines {
		if len(list) == 0 || watchName.MatchString(l) {
			list = append(list, nil)
		}
		list[len(list)-1] = append(list[len(list)-1], l)
	}
	return list
}

var watchName = regexp.MustCompile(`^w[0-9]+:$`)

// ended reports whether a call shows only that its context has ended.
func ended(lines []string) bool {
	return only(lines, "== context.Canceled") || only(lines, "== context.DeadlineExceeded")
}

// closed reports whether a call shows only that its client is closed.
func closed(lines []string) bool {
	return only(
		lines,
		`error of code Canceled: "rpc error: code = Canceled desc = grpc: the client connection is closing"`,
	)
}

// ends reports whether a context ends during a call.
func ends(c script.Context) bool { return c.Kind == "timeout" || c.Kind == "cancel" }

var text = regexp.MustCompile(`^(.*error of code .*?: ")([^"]*)(".*)$`)

// saysMore reports whether our line equals theirs, or differs only in that its error goes on in
// parentheses.
func saysMore(theirs, ours string) bool {
	t, o := text.FindStringSubmatch(theirs), text.FindStringSubmatch(ours)
	if t == nil || o == nil {
		return theirs == ours
	}
	return t[1] == o[1] && t[3] == o[3] && (t[2] == o[2] || strings.HasPrefix(o[2], t[2]+" ("))
}

// only reports whether there is exactly one line and it begins so.
func only(lines []string, begin string) bool {
	return len(lines) == 1 && strings.HasPrefix(lines[0], begin)
}

// refused reports whether nothing was sent because it was invalid.
func refused(lines []string) bool {
	return only(lines, "error of code InvalidArgument: ") || only(lines, "rpctypes error InvalidArgument ")
}

// contains reports whether is holds for a step or for an operation in it.
func contains(s script.Step, is func(script.Step) bool) bool {
	inner := func(op script.Step) bool { return contains(op, is) }
	return is(s) || slices.ContainsFunc(s.Then, inner) || slices.ContainsFunc(s.Else, inner)
}

// toldOfCompaction reports whether a line says that the watch's revision is compacted.
func toldOfCompaction(l string) bool {
	return strings.HasPrefix(l, "cancelled true compacted {") && strings.Contains(l, "has been compacted")
}
