package cli

import (
	"context"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMakeMirror(t *testing.T) {
	from := shared(t)
	to := &cmd{t: t, endpoint: etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]}
	p := key(t, "")
	from.want("OK\n", "put", p+"a", "1")
	mirror := func(until string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ctx, interrupt := context.WithCancelCause(ctx)
		defer interrupt(nil)
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil && to.run("get", "--count-only", until).out != "1\n" {
				<-tick.C
			}
			interrupt(command.InterruptedError{Signal: 2})
		}()
		var out, errOut clienttest.Buffer
		code := from.runIn(ctx, &out, &errOut, append([]string{"make-mirror", "--prefix", p}, args...)...)
		if code != 130 || errOut.String() != "" {
			t.Errorf("%q: code %d, error %s", args, code, errOut.String())
		}
	}
	mirror(p+"a", to.endpoint)
	mirror("copy/a", to.endpoint, "--dest-prefix", "copy/")
	from.want("OK\n", "put", p+"b", "2")
	mirror("copy/b", to.endpoint, "--dest-prefix", "copy/") // goes on
	to.want(lines("copy/a", "1", "copy/b", "2"), "get", "--prefix", "copy/")
	to.want("OK\n", "put", "own/x", "")
	from.wantFailure(
		command.ExitFailed,
		"--reconcile",
		"make-mirror",
		to.endpoint,
		"--prefix",
		p,
		"--dest-prefix",
		"own/",
	)
	from.wantFailure(command.ExitUnreachable, "the destination", "make-mirror", "127.0.0.1:1")
	from.wantFailure(command.ExitUsage, "belong together", "make-mirror", to.endpoint, "--dest-cert", "x")
	mirror("b", to.endpoint, "--no-dest-prefix", "--reconcile") // all other keys are deleted
	to.want("", "get", "--prefix", "copy/")
	from.wantFailure(command.ExitUsage, "no password", "make-mirror", to.endpoint, "--dest-user", "u")
}
