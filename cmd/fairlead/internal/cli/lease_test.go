package cli

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// grant grants a lease with the command and returns its id as text.
func grant(c *cmd, ttl string) string {
	c.t.Helper()
	r := c.run("lease", "grant", ttl)
	fields := strings.Fields(r.out)
	if r.code != command.ExitOK || len(fields) != 5 || r.out != "lease "+fields[1]+" granted with TTL("+ttl+"s)\n" {
		c.t.Fatalf("grant: %+v", r)
	}
	return fields[1]
}

func TestLeaseGrant(t *testing.T) {
	c := shared(t)
	id := grant(c, "60")
	c.want("lease "+id+" revoked\n", "lease", "revoke", id)
	var resp struct{ ID, TTL int64 }
	c.json(&resp, "lease", "grant", "61")
	if resp.ID == 0 || resp.TTL != 61 {
		t.Errorf("JSON %+v", resp)
	}
	c.wantFailure(command.ExitFailed, "too large", "lease", "grant", "99999999999")
}

func TestLeaseRevoke(t *testing.T) {
	c := shared(t)
	id := grant(c, "60")
	k := key(t, "k")
	c.want("OK\n", "put", "--lease", id, k, "v")
	c.want("lease "+id+" revoked\n", "lease", "revoke", id)
	c.want("", "get", k)
	c.wantFailure(command.ExitFailed, "lease not found", "lease", "revoke", id)
}

func TestLeaseTimeToLive(t *testing.T) {
	c := shared(t)
	id := grant(c, "600")
	k := key(t, "k")
	c.want("OK\n", "put", "--lease", id, k, "v")
	r := c.run("lease", "timetolive", id, "--keys")
	if !strings.HasPrefix(r.out, "lease "+id+" granted with TTL(600s), remaining(") ||
		!strings.HasSuffix(r.out, "s), attached keys(["+k+"])\n") {
		t.Errorf("%+v", r)
	}
	var resp struct {
		ID, TTL int64
		Granted int64    `json:"granted-ttl"`
		Keys    [][]byte `json:"keys"`
	}
	c.json(&resp, "lease", "timetolive", id, "--keys")
	if resp.Granted != 600 || resp.TTL < 500 || len(resp.Keys) != 1 || string(resp.Keys[0]) != k {
		t.Errorf("JSON %+v", resp)
	}
	c.want("lease "+id+" revoked\n", "lease", "revoke", id)
	c.want("lease "+id+" already expired\n", "lease", "timetolive", id)
}

func TestLeaseList(t *testing.T) {
	c := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]}
	c.want("found 0 leases\n", "lease", "list")
	id := grant(c, "60")
	c.want("found 1 leases\n"+id+"\n", "lease", "list")
	var resp struct {
		Leases []struct{ ID int64 }
	}
	c.json(&resp, "lease", "list")
	if len(resp.Leases) != 1 || command.LeaseText(resp.Leases[0].ID) != id {
		t.Errorf("JSON %+v", resp)
	}
}

func TestLeaseKeepAlive(t *testing.T) {
	c := shared(t)
	id := grant(c, "60")
	c.want("lease "+id+" keepalived with TTL(60)\n", "lease", "keep-alive", "--once", id)
	// Until interrupted, which is after the first renewal.
	ctx, interrupt := context.WithCancelCause(t.Context())
	defer interrupt(nil)
	out := &onLine{
		line: "lease " + id + " keepalived with TTL(60)\n",
		do:   func() { interrupt(command.InterruptedError{Signal: 2}) },
	}
	var errOut bytes.Buffer
	if code := c.runIn(ctx, out, &errOut, "lease", "keep-alive", id); code != 130 || errOut.Len() > 0 {
		t.Errorf("code %d, output %s, error %s", code, out.String(), errOut.String())
	}
	// Until the lease has ended.
	out = &onLine{line: "lease " + id + " keepalived with TTL(60)\n", do: func() {
		c.want("lease "+id+" revoked\n", "lease", "revoke", id)
	}}
	short := grant(c, "2")
	out.line = "lease " + short + " keepalived with TTL(2)\n"
	out.do = func() { c.want("lease "+short+" revoked\n", "lease", "revoke", short) }
	code := c.runIn(t.Context(), out, &errOut, "lease", "keep-alive", short)
	if code != command.ExitFailed || !strings.HasSuffix(out.String(), "lease "+short+" expired or revoked.\n") {
		t.Errorf("code %d, output %s, error %s", code, out.String(), errOut.String())
	}
	c.wantFailure(command.ExitFailed, "lease not found", "lease", "keep-alive", "--once", short)
}

// onLine is an output that acts once, when a certain line has been written.
type onLine struct {
	bytes.Buffer
	line string
	do   func()
}

func (o *onLine) Write(b []byte) (int, error) {
	n, err := o.Buffer.Write(b)
	if o.do != nil && strings.Contains(o.String(), o.line) {
		do := o.do
		o.do = nil
		do()
	}
	return n, err
}
