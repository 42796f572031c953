package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func TestTop(t *testing.T) {
	c := shared(t)
	r := c.run("top", "--count", "2", "--interval", "100ms")
	if r.code != command.ExitOK || strings.Count(r.out, "MEMBER") != 2 || !strings.Contains(r.out, "leader") ||
		!strings.Contains(r.out, c.endpoint) ||
		strings.Contains(r.out, "\x1b") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	// Changes while the command runs are counted by their prefixes.
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	seen := make(chan struct{})
	out := writerFunc(func(b []byte) (int, error) {
		c.run("put", key(t, "sub/k"), "v")
		c.run("put", key(t, "k"), "v")
		if strings.Contains(string(b), "  "+key(t, "sub/")+"\n") && strings.Contains(string(b), "  "+key(t, "")+"\n") {
			select {
			case <-seen:
			default:
				close(seen)
			}
			cancel(command.InterruptedError{Signal: 2})
		}
		return len(b), nil
	})
	if code := c.runIn(ctx, out, out, "top", t.Name(), "--interval", "100ms", "--count", "300"); code != 130 {
		t.Errorf("code %d", code)
	}
	select {
	case <-seen:
	default:
		t.Error("the prefixes were never shown")
	}
	c.wantFailure(command.ExitUsage, "--interval", "top", "--interval", "1ms")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
