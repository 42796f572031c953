package cli

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// peerPort: an id is a hash of the URLs and may not come back, so each program adds others.
var peerPort = regexp.MustCompile(`:[123]0[01]\b`)

var memberID = regexp.MustCompile(`\b[0-9a-f]{12,16}\b`)

// paddedID matches an id in a text: etcdctl pads those that begin with zeros with blanks.
var paddedID = regexp.MustCompile(`\b[0-9a-f]{16}\b| [0-9a-f]{15}\b|  [0-9a-f]{14}\b|   [0-9a-f]{13}\b`)

// A learner is added, updated and removed; each answer is etcdctl's apart from the ids.
func TestMemberChanges(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]}
	var answers [2][]string
	for i, run := range []func(...string) result{c.official, c.run} {
		step := func(args ...string) string {
			t.Helper()
			r := run(args...)
			if r.code != command.ExitOK {
				t.Fatalf("%q: %+v", args, r)
			}
			answers[i] = append(answers[i], peerPort.ReplaceAllString(paddedID.ReplaceAllString(r.out, "ID"), ":PORT"))
			return r.out
		}
		id := memberID.FindString(
			step(
				"member",
				"add",
				"new",
				"--learner",
				"--peer-urls",
				fmt.Sprintf("http://127.0.0.1:10%d,http://127.0.0.1:20%d", i, i),
			),
		)
		step("member", "update", id, "--peer-urls", fmt.Sprintf("http://127.0.0.1:30%d", i))
		if r := run("member", "promote", id); r.code != command.ExitFailed ||
			!strings.Contains(r.err, "can only promote a learner member which is in sync") {
			t.Errorf("promote: %+v", r)
		}
		step("member", "remove", id)
		if r := run("member", "remove", id); r.code != command.ExitFailed ||
			!strings.Contains(r.err, "member not found") {
			t.Errorf("remove twice: %+v", r)
		}
	}
	for i, want := range answers[0] {
		// Ids are random, and members are listed in the order of their ids.
		if got := answers[1][i]; sortedParts(got) != sortedParts(want) {
			t.Errorf("output\n%s\netcdctl\n%s", got, want)
		}
	}
	for i, f := range []string{"json", "yaml", "fields", "table"} {
		r := c.run("member", "add", "n", "--learner", "--peer-urls", fmt.Sprintf("http://127.0.0.1:40%d", i), "-w", f)
		if r.code != command.ExitOK || r.out == "" {
			t.Errorf("%s: %+v", f, r)
		}
		list := c.run("member", "list").out
		for line := range strings.Lines(list) {
			if strings.Contains(line, "unstarted") {
				if r := c.run("member", "remove", memberID.FindString(line), "-w", f); r.code != command.ExitOK {
					t.Errorf("%+v", r)
				}
			}
		}
	}
}

// sortedParts removes the order of the members in a list.
func sortedParts(s string) string {
	parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",\n\"", r) })
	for i := range parts {
		parts[i] = strings.TrimPrefix(parts[i], "ETCD_INITIAL_CLUSTER=")
	}
	return strings.Join(sorted(parts), "\n")
}

func TestMoveLeader(t *testing.T) {
	cluster, c := threeMembers(t)
	leader := cluster.Leader(t)
	follower := cluster.Followers(t)[0]
	from, err := leader.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to, err := follower.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	away := &cmd{t: t, endpoint: follower.Endpoint}
	away.wantFailure(command.ExitFailed, "is not among the endpoints", "move-leader", command.IdText(to))
	c.want(
		"Leadership transferred from "+command.IdText(from)+" to "+command.IdText(to)+"\n",
		"move-leader",
		command.IdText(to),
	)
}

func TestAlarm(t *testing.T) {
	c := &cmd{
		t:        t,
		endpoint: etcdtest.Start(t, etcdtest.Options{Args: []string{"--quota-backend-bytes=100000"}}).Endpoints()[0],
	}
	full := func() {
		for range 100 {
			if c.with(strings.Repeat("x", 20000)).run("put", "k").code != command.ExitOK {
				return
			}
		}
		t.Fatal("the quota was not reached")
	}
	full()
	c.same("json fields protobuf", "alarm", "list")
	// The generated text has one or two blanks, depending on the build.
	one := func(r result) string { return strings.ReplaceAll(r.out, "  ", " ") }
	if want, got := one(c.official("alarm", "list")), one(c.run("alarm", "list")); got != want ||
		!strings.Contains(got, "NOSPACE") {
		t.Errorf("output %s, want %s", got, want)
	}
	listed := c.run("alarm", "list").out
	if r := c.run("alarm", "disarm"); r.code != command.ExitOK || r.out != listed {
		t.Errorf("%+v, want %s", r, listed)
	}
	c.want("", "alarm", "list")
}

// The leader is the last to be defragmented, wherever it is in the list.
func TestDefragLeaderLast(t *testing.T) {
	cluster, c := threeMembers(t)
	var members struct{ Members []struct{ ID uint64 } }
	c.json(&members, "member", "list")
	first := members.Members[0].ID
	if r := c.run("move-leader", command.IdText(first)); r.code != command.ExitOK &&
		!strings.Contains(r.err, "already") {
		t.Fatalf("%+v", r)
	}
	leader := cluster.Leader(t)
	r := c.run("defrag", "--cluster")
	rows := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.code != command.ExitOK || len(rows) != 3 || !strings.Contains(rows[2], "["+leader.URL+"]") {
		t.Errorf("the leader is %s: %+v", leader.URL, r)
	}
}

func TestDefragAndCompaction(t *testing.T) {
	c := shared(t)
	var put struct {
		Header struct{ Revision int64 }
	}
	for range 3 {
		c.json(&put, "put", key(t, "k"), "v")
	}
	rev := itoa(put.Header.Revision - 1)
	c.want("compacted revision "+rev+"\n", "compaction", "--physical", rev)
	c.same("simple", "compaction", rev) // once more: refused
	if r := c.run("defrag", "--cluster"); r.code != command.ExitOK ||
		!strings.HasPrefix(r.out, "Finished defragmenting etcd member[") {
		t.Errorf("%+v", r)
	}
	c.wantFailure(command.ExitFailed, "127.0.0.1:1", "defrag", "--endpoints", "127.0.0.1:1", "--command-timeout", "1s")
}
