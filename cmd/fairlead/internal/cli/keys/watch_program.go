package keys

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// watchProgramGrace is how long a program may take to end when the watch is interrupted.
const watchProgramGrace = 5 * time.Second

// runForEvents runs the program for each event, one after the other.
func runForEvents(ctx context.Context, a *command.App, program []string, resp *clientv3.WatchResponse) error {
	if len(program) == 0 {
		return nil
	}
	for _, e := range resp.Events {
		child := exec.CommandContext(ctx, program[0], program[1:]...)
		child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
		child.WaitDelay = watchProgramGrace
		child.Stdout, child.Stderr = a.Env.Stdout, a.Env.Stderr
		child.Env = append(os.Environ(),
			fmt.Sprintf("ETCD_WATCH_REVISION=%d", resp.Header.GetRevision()),
			fmt.Sprintf("ETCD_WATCH_EVENT_TYPE=%q", e.Type),
			fmt.Sprintf("ETCD_WATCH_KEY=%q", e.Kv.Key),
			fmt.Sprintf("ETCD_WATCH_VALUE=%q", e.Kv.Value),
			fmt.Sprintf("FAIRLEAD_WATCH_MOD_REVISION=%d", e.Kv.ModRevision))
		if err := child.Run(); err != nil {
			return command.Ended(ctx, fmt.Errorf("command %q error (%w)", program, err))
		}
	}
	return nil
}
