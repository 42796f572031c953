package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// TestKnown: the program for each known difference shows it, and nothing else.
func TestKnown(t *testing.T) {
	programs := map[string]script.Program{
		"what makes no sense is an error": {Steps: []script.Step{
			{Call: "Put", Key: "a", Opts: []script.Option{{Name: "WithPrefix"}}},
		}},
		"a watch that makes no sense ends with an error": {Steps: []script.Step{
			{Call: "Watch", Name: "w", Key: "a", Opts: []script.Option{{Name: "WithLimit", N: 1}}},
		}},
		"a watch is no operation of a KV": {Steps: []script.Step{
			{Call: "Do", Then: []script.Step{{Call: "Watch", Key: "a"}}},
		}},
		"a comparison of nothing is refused before it is sent": {Steps: []script.Step{
			{Call: "Txn", If: []script.Compare{{NoTarget: true, Result: "=", V: "int"}}},
		}},
		"closing twice is no failure": {Steps: []script.Step{{Call: "Close"}}},
		"a cancelled watch has the server's reason": {Steps: []script.Step{
			{Call: "Watch", Name: "w", Key: "a", Opts: []script.Option{{Name: "WithRange", S: "a"}}},
		}},
		"GetStream works through wrappers and from a cache": {
			Stack: []script.Layer{
				{Kind: "namespace", Prefix: "m"},
			}, Steps: []script.Step{{Call: "GetStream", Key: "b"}},
		},
		"a type of permission that does not exist is InvalidArgument": {Steps: []script.Step{
			{Call: "StrToPermissionType", Value: "x"},
		}},
		"an error's text says more": {
			Steps: []script.Step{{Call: "Close"}, {Call: "MemberPromote"}},
		},
		"disarming all alarms has a header":              {Steps: []script.Step{{Call: "AlarmDisarm"}}},
		"a peer address that is none is InvalidArgument": {Steps: []script.Step{{Call: "MemberAdd", Value: "no url"}}},
		"renewals that halted say why": {Steps: []script.Step{
			{Call: "Lease.Close"}, {Call: "KeepAlive", Name: "k", Ref: "4711"},
		}},
		"what is wrong with a call is said first": {Steps: []script.Step{
			{Call: "Txn", Ctx: script.Context{Kind: "expired"}, Then: []script.Step{
				{Call: "Get", Key: "a", Opts: []script.Option{{Name: "WithSort", N: 9}}},
			}},
		}},
		"GetStream returns the error that it knows at once": {Steps: []script.Step{{Call: "GetStream"}}},
		"a watch from a compacted revision ends with one response": {Steps: []script.Step{
			{Call: "Watch", Name: "w", Key: "a", Opts: []script.Option{{Name: "WithRev", N: -1}}},
		}},
		"nobody is the owner of a mutex that was never locked": {Revisions: script.Ranked, Steps: []script.Step{
			{Call: "NewSession", Name: "s", N: 60}, {Call: "IsOwner", Ref: "s", Key: "lock"},
		}},
		transparent: {
			Stack: []script.Layer{{Kind: "leasing", Prefix: "leasing/"}}, Revisions: script.Ignored,
			Steps: []script.Step{
				{Call: "Get", Key: "c"}, {Call: "Put", Key: "c"}, {Call: "Get", Key: "c"},
				{Call: "Get", Key: "c", Opts: []script.Option{{Name: "WithKeysOnly"}}},
				{Call: "Delete", Key: "c"}, {Call: "Get", Key: "c"},
			},
		},
		"an election whose key is gone leads nothing": {Revisions: script.Ranked, Steps: []script.Step{
			{Call: "NewSession", Name: "s", N: 60}, {Call: "Campaign", Ref: "s", Key: "lock", Value: "v"},
			{Call: "Session.Close", Ref: "s"}, {Call: "Proclaim", Ref: "s", Key: "lock", Value: "w"},
			{Call: "Proclaim", Ref: "s", Key: "lock", Value: "x"},
		}},
		"a watch on a closed client says so": {
			Steps: []script.Step{{Call: "Close"}, {Call: "Watch", Name: "w", Key: "a"}},
		},
		"a watch whose user cannot log in any more says so": {
			Config: script.Config{User: "root", Password: "rootpw"},
			Steps: []script.Step{
				{Call: "UserAdd", Key: "u", Value: "pw"}, {Call: "RoleAdd", Key: "both"},
				{Call: "RoleGrantPermission", Key: "both", Value: "a", N: 2, Opts: []script.Option{{Name: "End"}}},
				{Call: "UserGrantRole", Key: "u", Value: "both"}, {Call: "New", Name: "u", Key: "u", Value: "pw"},
				{Call: "Watch", On: "u", Name: "w1", Key: "a"}, {Call: "UserChangePassword", Key: "u", Value: "other"},
				{Call: "Watch", On: "u", Name: "w2", Key: "a"},
			},
		},
		"a stream whose user cannot log in any more fails when it is read": {
			Config: script.Config{User: "root", Password: "rootpw"},
			Steps: []script.Step{
				{Call: "UserAdd", Key: "u", Value: "pw"}, {Call: "New", Name: "u", Key: "u", Value: "pw"},
				{Call: "UserChangePassword", Key: "u", Value: "other"}, {Call: "Snapshot", On: "u"},
			},
		},
		"without a leader a call is repeated until its context ends": {
			Family: "quorum", Steps: []script.Step{
				{
					Call: "Delete",
					Key:  "a",
					// The official client needs time for the server's refusal.
					Ctx: script.Context{Kind: "timeout", After: 2 * time.Second, RequireLeader: true},
				},
			},
		},
		"ResumeElection takes the prefix that NewElection takes": {Revisions: script.Ranked, Steps: []script.Step{
			{Call: "NewSession", Name: "s", N: 60}, {Call: "Campaign", Ref: "s", Key: "lock", Value: "v"},
			{Call: "ResumeElection", Ref: "s", Key: "lock"}, {Call: "Resign", Ref: "s", Key: "lock"},
			{Call: "Campaign", Ref: "s", Key: "lock", Value: "v"},
		}},
		"a watch from a compacted revision does not keep the others from progress": {Steps: []script.Step{
			{Call: "Watch", Name: "w1", Key: "b/1", Opts: []script.Option{{Name: "WithRev", N: -1}}},
			{Call: "Watch", Name: "w2", Key: "b"}, {Call: "Drain", Ref: "w1"}, {Call: "Progress", Ref: "w2"},
		}},
		"a closed client asks no single endpoint either": {Steps: []script.Step{{Call: "Close"}, {Call: "Status"}}},
		"a watch that the server refuses ends with the error's value": {
			Config: script.Config{User: "root", Password: "rootpw"},
			Steps: []script.Step{
				{Call: "UserAdd", Key: "u", Value: "pw"}, {Call: "New", Name: "u", Key: "u", Value: "pw"},
				{Call: "Watch", On: "u", Name: "w", Key: "a"},
			},
		},
	}
	plain, auth, quorum := start(t, kinds[1]), start(t, kinds[2]), start(t, kinds[len(kinds)-1])
	for _, k := range table {
		if k.chance {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			p, ok := programs[k.name]
			if !ok {
				t.Fatal("no program shows it")
			}
			r := plain
			switch {
			case p.Family == "quorum":
				r = quorum
			case p.Config.User != "":
				r = auth
			}
			reports, err := r.run(p)
			if err != nil {
				t.Fatal(err)
			}
			v, err := r.judge(p, reports, 0)
			if err != nil {
				t.Fatal(err)
			}
			if v.known[k.name] == 0 {
				t.Error("the difference is gone: remove its entry")
			}
			if len(v.unknown) > 0 {
				t.Errorf("something else as well:\n%s", explain(p, p, v.unknown))
			}
		})
	}
}

// TestKnownAreDocumented: the documents list each intended difference by its name and with a
// reason, and none that no longer exists.
func TestKnownAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(docs), "\n## What programs compared by `bench/differential` see\n")
	if !found {
		t.Fatal("docs/differences.md has no section for them")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 || strings.HasPrefix(cells[1], "---") || cells[1] == " difference " {
			continue
		}
		if strings.TrimSpace(cells[2]) == "" {
			t.Errorf("no reason: %s", line)
		}
		documented = append(documented, strings.ToLower(strings.Trim(cells[1], " .")))
	}
	var meant []string
	for _, k := range table {
		meant = append(meant, strings.ToLower(k.name))
	}
	for _, name := range meant {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/differences.md does not list: %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(meant, name) {
			t.Errorf("known.go does not have: %s", name)
		}
	}
}
