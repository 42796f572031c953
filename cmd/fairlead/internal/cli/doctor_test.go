package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestDoctor(t *testing.T) {
	c := shared(t)
	if r := c.run("doctor", "--period", "200ms"); r.code != command.ExitOK || strings.Contains(r.out, "Problem") ||
		r.err != "" {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	c.wantFailure(command.ExitUsage, "--period", "doctor", "--watch", "--period", "0s")
	c.wantFailure(command.ExitUsage, "--period", "doctor", "--period", "-1s")
	c.wantFailure(command.ExitUsage, "--json", "doctor", "--json", "-o", "json")
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	m := cl.Followers(t)[0] // an election may take longer than doctor waits for a read
	id, err := m.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.Kill()
	c = &cmd{t: t, endpoint: strings.Join(cl.Endpoints(), ",")}
	r := c.run("doctor", "--period", "0s")
	remove := fmt.Sprintf("\n    fairlead --endpoints=%s member remove %x\n", c.endpoint, id)
	if r.code != command.ExitFailed || strings.Count(r.out, "Problem: ") != 1 ||
		!strings.Contains(r.out, "Problem: member "+m.Name+" does not answer") ||
		!strings.Contains(r.out, "just a quorum is left (2 of 3)") ||
		!strings.Contains(r.out, "To do: ") ||
		!strings.Contains(r.out, remove) {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	if r := c.run("doctor", "--json", "--period", "0s"); r.code != command.ExitFailed ||
		!strings.HasPrefix(r.out,
			`[{"rule":"silent","severity":"problem","members":["`+m.Name+`"],"title":"Member down","what":"`) {
		t.Errorf("%+v", r)
	}
}

// doctorFinding is a finding in the form that scripts read.
type doctorFinding struct {
	Rule, Severity string
	Run            []string
}

// A full database causes only one finding; its commands, run unchanged, repair it.
func TestDoctorsCommandsMend(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Args: []string{"--quota-backend-bytes=200000"}})
	c := &cmd{t: t, endpoint: strings.Join(cl.Endpoints(), ",")}
	for i := 0; c.with(strings.Repeat("x", 20000)).run("put", "k").code == command.ExitOK; i++ {
		if i > 100 {
			t.Fatal("the database does not get full")
		}
	}
	look := func() (problems []doctorFinding) {
		t.Helper()
		r := c.run("doctor", "--json", "--period", "0s")
		var all []doctorFinding
		if err := json.Unmarshal([]byte(r.out), &all); err != nil {
			t.Fatalf("%v in %+v", err, r)
		}
		for _, f := range all {
			if f.Severity == "problem" {
				problems = append(problems, f)
			}
		}
		if (r.code == command.ExitFailed) != (len(problems) > 0) {
			t.Errorf("code %d with %d problems", r.code, len(problems))
		}
		return problems
	}
	problems := look()
	if len(problems) != 1 || problems[0].Rule != "no-space" || len(problems[0].Run) != 5 {
		t.Fatalf("%+v", problems)
	}
	for _, line := range problems[0].Run {
		words := exampleLines(line)[0]
		if r := (&cmd{t: t}).run(words...); r.code != command.ExitOK {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if problems := look(); len(problems) != 0 {
		t.Errorf("after its commands: %+v", problems)
	}
	c.want("OK\n", "put", "k", "v")
}

// A watching doctor reports the beginning and the end of findings, and nothing else.
func TestDoctorWatch(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	m := cl.Followers(t)[0]
	c := &cmd{t: t, endpoint: strings.Join(cl.Endpoints(), ",")}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	began := &onLine{line: "Problem: member " + m.Name + " does not answer", do: func() {
		if err := m.Restart(); err != nil {
			t.Error(err)
		}
	}}
	over := &onLine{
		line: ": member " + m.Name +
			" does not answer; just a quorum is left (2 of 3): one more failure stops the cluster\n",
		do: func() { interrupt(command.InterruptedError{Signal: 2}) },
	}
	start := &onLine{line: "\n", do: m.Kill}
	var errOut bytes.Buffer
	code := c.runIn(ctx, io.MultiWriter(start, began, over), &errOut, "doctor", "--watch", "--period", "300ms")
	out := over.String()
	if code != 130 || errOut.Len() > 0 || strings.Count(out, began.line) != 1 ||
		strings.Count(out, " Over after ") == 0 {
		t.Errorf("code %d, output\n%s\nerror\n%s", code, out, &errOut)
	}
}

// A user without permissions learns that, and which user to use.
func TestDoctorOfStrangers(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := &cmd{t: t, endpoint: cl.Endpoints()[0]}
	for _, line := range []string{"user add root:pw", "user grant-role root root", "user add u:pw", "auth enable"} {
		if r := c.run(strings.Fields(line)...); r.code != command.ExitOK {
			t.Fatalf("%s: %+v", line, r)
		}
	}
	if r := c.run("doctor", "--period", "0s"); r.code != command.ExitFailed || strings.Count(r.out, "Problem: ") != 1 ||
		!strings.Contains(r.out, "but not to this user (etcdserver: user name is empty)") ||
		!strings.Contains(r.out, " --user NAME doctor\n") {
		t.Errorf("nobody: %+v", r)
	}
	if r := c.run("--user", "u:pw", "doctor", "--period", "0s"); r.code != command.ExitOK ||
		!strings.Contains(r.out, "Note: these could not be looked at: the history (") ||
		!strings.Contains(r.out, " --user root doctor\n") ||
		strings.Contains(r.out, "--user=u --user") {
		t.Errorf("of few rights: %+v", r)
	}
	if r := c.run("--user", "root:pw", "doctor", "--period", "0s"); r.code != command.ExitOK ||
		!strings.HasPrefix(r.out, "Nothing is wrong.\nLooked at one member") {
		t.Errorf("root: %+v", r)
	}
}

// Certificates that expire soon are reported, both a member's and the user's own.
func TestDoctorCertificates(t *testing.T) {
	auth := etcdtest.NewTLS(t)
	soon := etcdtest.Certificate{
		NotBefore: time.Now().Add(-100 * 24 * time.Hour),
		NotAfter:  time.Now().Add(24 * time.Hour),
	}
	auth.Issue(t, "server", soon)
	auth.Issue(t, "client", soon)
	cl := etcdtest.Start(t, etcdtest.Options{TLS: auth})
	c := &cmd{t: t, endpoint: cl.Endpoints()[0]}
	r := c.run(
		"doctor",
		"--period",
		"0s",
		"--cacert",
		auth.CAFile,
		"--cert",
		auth.ClientCertFile,
		"--key",
		auth.ClientKeyFile,
	)
	if r.code != command.ExitFailed || !strings.Contains(r.out, "Problem: certificates of members end soon") ||
		!strings.Contains(r.out, "Problem: the certificate that this client shows ends soon") ||
		!strings.Contains(r.out, "in 23 hours)") {
		t.Errorf("%+v", r)
	}
	auth.Issue(t, "server", etcdtest.Certificate{NotAfter: time.Now().Add(100 * 24 * time.Hour)})
	if r := c.run("doctor", "--period", "0s", "--cacert", auth.CAFile); r.code != command.ExitOK ||
		strings.Contains(r.out, "certificate") {
		t.Errorf("with a new one: %+v", r)
	}
}
