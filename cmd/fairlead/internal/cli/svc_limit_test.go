package cli

import (
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// An operator sets limits: they are shown, changed and removed; an empty change is refused.
func TestServiceLimit(t *testing.T) {
	c := shared(t)
	s := strings.ReplaceAll(key(t, "orders"), "/", "-")
	c.want("", "svc", "limit", s)
	c.want("OK\n", "svc", "limit", s, "--requests", "7", "--failures", "50")
	c.want("requests=7 failures=50 calls=0 seconds=0\n", "svc", "limit", s)
	c.wantFailure(command.ExitUsage, "failures", "svc", "limit", s, "--failures", "100")
	c.wantFailure(command.ExitUsage, "eject nobody", "svc", "limit", s, "--calls", "5")
	c.wantFailure(command.ExitUsage, "--remove", "svc", "limit", s, "--requests", "7", "--remove")
	c.wantFailure(command.ExitUsage, "needs a service", "svc", "limit")
	if r := c.run("svc", "limit", s, "-o", "table"); !strings.Contains(r.out, "FAILURES") {
		t.Errorf("%+v", r)
	}
	c.want("OK\n", "svc", "limit", s, "--remove")
	c.want("", "svc", "limit", s)
}
