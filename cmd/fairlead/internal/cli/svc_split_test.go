package cli

import (
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// An operator splits calls: the split is shown, changed and removed; one that does not add up is
// refused and changes nothing.
func TestServiceSplit(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "orders"), "/", "-")
	var all []*background
	for id, version := range map[string]string{"one": "v1", "two": "v2", "three": "v3"} {
		p := startCommand(
			t,
			c,
			"svc",
			"register",
			s,
			"--id",
			id,
			"--addr",
			"10.0.0.1:80",
			"--version",
			version,
			"--drain",
			"0s",
		)
		p.await("registered")
		all = append(all, p)
	}
	c.want("", "svc", "split", s)
	c.want("OK\n", "svc", "split", s, "v1=95", "v2=5")
	c.want("v1=95 1\nv2=5 1\n", "svc", "split", s)
	c.wantFailure(command.ExitUsage, "add up to 96", "svc", "split", s, "v1=95", "v2=1")
	c.wantFailure(command.ExitUsage, "color", "svc", "split", s, "color=red=100")
	c.wantFailure(command.ExitUsage, "--remove", "svc", "split", s, "v1=100", "--remove")
	c.want("v1=95 1\nv2=5 1\n", "svc", "split", s)
	c.want("OK\n", "svc", "maintenance", "on", s, "two")
	c.want("v1=95 1\nv2=5 0\n", "svc", "split", s)
	c.want(
		"one 10.0.0.1:80 up split:v1=95\nthree 10.0.0.1:80 up split:none\ntwo 10.0.0.1:80 draining "+
			"maintenance,split:v2=5\n",
		"svc",
		"ls",
		s,
	)
	var list []struct {
		ID    string
		Split map[string]float64
	}
	c.json(&list, "svc", "ls", s)
	if len(list) != 3 || list[0].Split["v1"] != 95 || list[1].Split == nil || len(list[1].Split) != 0 {
		t.Errorf("%+v", list)
	}
	var parts []struct {
		Filter    string
		Percent   float64
		Instances int
	}
	c.json(&parts, "svc", "split", s)
	if len(parts) != 2 || parts[0].Filter != "v1" || parts[0].Percent != 95 || parts[0].Instances != 1 {
		t.Errorf("%+v", parts)
	}
	if r := c.run("svc", "split", s, "-o", "table"); !strings.Contains(r.out, "PERCENT") {
		t.Errorf("as a table: %+v", r)
	}
	if r := c.run("svc", "split", s, "v1=50", "v4=50", "v5=0"); r.err != "No instance of "+s+" is v4 now.\n" {
		t.Errorf("a version that nobody has: %+v", r)
	}
	if r := c.run("svc", "split", s, "tag=canary=0.5", "version=v1,meta.team=x=99.5"); r.code != command.ExitOK ||
		strings.Count(r.err, "No instance") != 2 {
		t.Errorf("tags and metadata that nobody has: %+v", r)
	}
	c.want("tag=canary=0.5 0\nversion=v1,meta.team=x=99.5 0\n", "svc", "split", s)
	c.want("OK\n", "svc", "split", s, "--remove")
	c.want("OK\n", "svc", "maintenance", "off", s, "two")
	c.want("one 10.0.0.1:80 up\nthree 10.0.0.1:80 up\ntwo 10.0.0.1:80 up\n", "svc", "ls", s)
	for _, p := range all {
		p.end(syscall.SIGTERM, 143)
	}
}

// An invalid control record is reported, and the instances are shown all the same; the record is
// not overwritten.
func TestServiceControlBroken(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "orders"), "/", "-")
	one := startCommand(t, c, "svc", "register", s, "--id", "one", "--addr", "10.0.0.1:80", "--drain", "0s")
	one.await("registered")
	record := "/fairlead/control/" + s
	c.want("OK\n", "put", record, "nonsense")
	if r := c.run("svc", "ls", s); r.out != "one 10.0.0.1:80 up\n" || !strings.Contains(r.err, record) {
		t.Errorf("%+v", r)
	}
	c.wantFailure(command.ExitFailed, record+", to be corrected or deleted", "svc", "split", s, "v1=100")
	c.wantFailure(command.ExitFailed, record, "svc", "weight", s, "one", "5")
	c.wantFailure(command.ExitFailed, record, "svc", "split", s)
	c.want("1\n", "del", record)
	c.want("OK\n", "svc", "weight", s, "one", "5")
	c.want("OK\n", "svc", "weight", s, "one", "own")
	one.end(syscall.SIGTERM, 143)
}
