package cli

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// compact compacts the server up to its newest revision.
func compact(c *cmd) {
	c.t.Helper()
	var now struct {
		Header struct{ Revision int64 }
	}
	c.json(&now, "get", "nosuchkey")
	if r := c.run("compaction", itoa(now.Header.Revision), "--physical"); r.code != command.ExitOK {
		c.t.Fatalf("%+v", r)
	}
}

func threeMembers(t *testing.T) (*etcdtest.Cluster, *cmd) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	return c, &cmd{t: t, endpoint: strings.Join(c.Endpoints(), ",")}
}

func TestMemberList(t *testing.T) {
	cluster, c := threeMembers(t)
	r := c.run("member", "list")
	for _, m := range cluster.Members() {
		id, err := m.ID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%x, started, %s, %s, %s, false\n", id, m.Name, m.PeerURL, m.URL)
		if !strings.Contains(r.out, want) {
			t.Errorf("output lacks %s:\n%s", want, r.out)
		}
	}
	if strings.Count(r.out, "\n") != 3 {
		t.Errorf("output:\n%s", r.out)
	}
	var plain struct{ Members []struct{ ID uint64 } }
	c.json(&plain, "member", "list", "--consistency", "s")
	var hex struct{ Members []struct{ ID, Name string } }
	c.json(&hex, "member", "list", "--hex")
	if len(plain.Members) != 3 || len(hex.Members) != 3 || command.IdText(plain.Members[0].ID) != hex.Members[0].ID {
		t.Errorf("JSON %+v, %+v", plain, hex)
	}
	if r := c.run("member", "list", "-w", "table"); strings.Count(r.out, "started") != 3 ||
		!strings.Contains(r.out, "│ IS LEARNER │\n") {
		t.Errorf("table:\n%s", r.out)
	}
}

func TestEndpointStatus(t *testing.T) {
	cluster, c := threeMembers(t)
	r := c.run("endpoint", "status")
	rows := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(rows) != 3 || strings.Count(r.out, ", true, false, ") != 1 {
		t.Fatalf("output:\n%s", r.out)
	}
	row := regexp.MustCompile(
		`^127\.0\.0\.1:\d+, [0-9a-f]+, 3\.\d+\.\d+, [\d.]*, \d+ kB, \d+ kB, \d+%, [\d.]+ G?B, (true|false), false, \d+, \d+, \d+, , , false$`,
	)
	for i, text := range rows {
		if !row.MatchString(text) || !strings.HasPrefix(text, cluster.Endpoints()[i]+", ") {
			t.Errorf("row %s", text)
		}
	}
	var all []struct {
		Endpoint string
		Status   struct{ Version string }
	}
	one := &cmd{t: t, endpoint: cluster.Endpoints()[0]}
	one.json(&all, "endpoint", "status", "--cluster")
	if len(all) != 3 || all[0].Status.Version == "" {
		t.Errorf("JSON %+v", all)
	}
	// One member down: the others' rows, and a failure.
	down := cluster.Followers(t)[0]
	down.Kill()
	r = c.run("endpoint", "status", "--command-timeout", "3s")
	if r.code != command.ExitFailed || strings.Count(r.out, "\n") != 2 || !strings.Contains(r.err, down.Endpoint) {
		t.Errorf("with a member down: %+v", r)
	}
}

func TestEndpointHealth(t *testing.T) {
	cluster, c := threeMembers(t)
	r := c.run("endpoint", "health")
	if r.code != command.ExitOK || strings.Count(r.out, "is healthy: successfully committed proposal: took = ") != 3 {
		t.Errorf("%+v", r)
	}
	one := &cmd{t: t, endpoint: cluster.Endpoints()[0]}
	var all []struct {
		Endpoint, Took, Error string
		Health                bool
	}
	one.json(&all, "endpoint", "health", "--cluster")
	if len(all) != 3 || !all[0].Health || all[0].Took == "" || all[0].Error != "" {
		t.Errorf("JSON %+v", all)
	}
	down := cluster.Followers(t)[0]
	if err := down.Freeze(); err != nil {
		t.Fatal(err)
	}
	r = c.run("endpoint", "health", "--command-timeout", "3s")
	if r.code != command.ExitFailed || strings.Count(r.out, "is healthy") != 2 ||
		!strings.Contains(r.out, down.Endpoint+" is unhealthy") {
		t.Errorf("with a frozen member: %+v", r)
	}
}

func TestEndpointHealthWithAlarm(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Args: []string{"--quota-backend-bytes=100000"}})
	c := &cmd{t: t, endpoint: cluster.Endpoints()[0]}
	for range 100 {
		if c.with(strings.Repeat("x", 20000)).run("put", "k").code != command.ExitOK {
			break
		}
	}
	r := c.run("endpoint", "health", "-o", "table")
	if r.code != command.ExitFailed || !strings.Contains(r.out, "NOSPACE") {
		t.Errorf("%+v", r)
	}
}
