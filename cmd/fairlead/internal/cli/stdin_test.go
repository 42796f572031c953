package cli

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// A command that is interrupted while it reads standard input ends, and has done nothing.
func TestInterruptedAtInput(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	for _, args := range [][]string{
		{"put", k}, {"txn"}, {"txn", "-i"}, {"watch", "-i"}, {"import", "-"},
		{"user", "add", "u", "--interactive=false"},
	} {
		ctx, interrupt := context.WithCancelCause(t.Context())
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, "half a line") // returns when the command has read it
			interrupt(command.InterruptedError{Signal: 2})
		}()
		var out strings.Builder
		code := Run(ctx, command.Env{
			Args: append([]string{"--endpoints", c.endpoint}, args...), Stdin: r, Stdout: &out, Stderr: &out,
			LookupEnv: func(string) (string, bool) { return "", false },
		})
		w.Close() // ends the read that could not be cancelled
		if code != 130 || strings.Contains(out.String(), "Error") {
			t.Errorf("%q: exit status %d: %s", args, code, out.String())
		}
	}
	c.want("", "get", k)
}
