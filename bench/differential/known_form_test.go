package main

import (
	"testing"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// TestForms: a difference that shows by chance is known in the forms that were seen, and in no
// others.
func TestForms(t *testing.T) {
	const (
		event  = `PUT create true modify false {Key:"a"} before nil`
		denied = `cancelled true compacted {}: rpctypes error PermissionDenied "etcdserver: permission denied"`
		nobody = `cancelled true compacted {}: error of code Unknown: "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"`
		token  = `cancelled true compacted {}: error of code Unknown: "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"`
		gone   = `cancelled true compacted {CompactRevision:r+1}: rpctypes error OutOfRange "etcdserver: mvcc: required revision has been compacted"`
		leader = `rpctypes error Unavailable "etcdserver: no leader"`
	)
	enable := []script.Step{{Call: "AuthEnable"}}
	password := []script.Step{{Call: "UserChangePassword"}}
	hurried := []script.Step{{Call: "Compact", Ctx: script.Context{Kind: "cancel", RequireLeader: true}}}
	for _, c := range []struct {
		name         string
		steps        []script.Step
		step         int
		cached       bool
		theirs, ours []string
		known        bool
	}{
		{"a watch that goes on without rights", enable, 1, false, []string{
			"w1:", event, event, "closed",
		}, []string{"w1:", denied, "closed"}, true},
		{"a watch of nobody", enable, 1, false, []string{
			"w1:", event, "closed", "w2:", nobody, "closed",
		}, []string{"w1:", event, "closed", "w2:", denied, "closed"}, true},
		{"without AuthEnable", password, 1, false, []string{
			"w1:", event, "closed",
		}, []string{"w1:", denied, "closed"}, false},
		{"another watch's event is lost", enable, 1, false, []string{
			"w1:", event, "closed", "w2:", event, "closed",
		}, []string{"w1:", "closed", "w2:", denied, "closed"}, false},
		{"ours has an event more", enable, 1, false, []string{
			"w1:", "closed",
		}, []string{"w1:", event, "closed"}, false},
		{"another token", password, 1, false, []string{
			"w1:", token, "closed", "w2:", event, "closed",
		}, []string{"w1:", event, "closed", "w2:", event, "closed"}, true},
		{"another token, and another watch loses something", password, 1, false, []string{
			"w1:", token, "closed", "w2:", event, "closed",
		}, []string{"w1:", event, "closed", "w2:", "closed"}, false},
		{"no leader", hurried, 0, false, []string{"w1:", leader}, []string{"w1:", "== context.Canceled"}, true},
		{"no leader, for ever", hurried, 0, false, []string{"w1:", leader}, []string{"w1:", "hangs"}, false},
		{"history of a cache", nil, 0, true, []string{"w1:", gone, "closed"}, []string{"w1:", "closed"}, true},
		{"a cache that has less", nil, 0, true, []string{"w1:", "closed"}, []string{"w1:", gone, "closed"}, false},
	} {
		p := script.Program{Steps: c.steps}
		if c.cached {
			p.Stack = []script.Layer{{Kind: "cache", Prefix: "a"}}
		}
		unknown, _ := sift(p, []report.Difference{{Step: c.step, Theirs: c.theirs, Ours: c.ours}})
		if known := len(unknown) == 0; known != c.known {
			t.Errorf("%s: known %v, left are %v", c.name, known, unknown)
		}
	}
}
