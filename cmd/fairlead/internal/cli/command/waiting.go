package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// waitingAfter: most members answer sooner, and nobody needs a word then.
const waitingAfter = time.Second

// sayWaiting tells whoever sits at a terminal what a command waits for, once, if no member can
// be reached for a second. The function that it returns ends that.
func (a *App) sayWaiting(client *clientv3.Client) func() {
	if a.Conn.failFast || TerminalWidth(a.Env.Stderr) == 0 {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		timer := time.NewTimer(waitingAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
			if text := waitingFor(client.MemberStates()); text != "" {
				fmt.Fprintln(a.Env.Stderr, text)
			}
		case <-quit:
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// waitingFor is empty if a member can be reached.
func waitingFor(members []clientv3.MemberStatus) string {
	var each []string
	for _, m := range members {
		switch {
		case m.State == clientv3.MemberHealthy || m.State == clientv3.MemberStalled:
			return ""
		case m.LastErr != nil:
			each = append(each, fmt.Sprintf("%s (%v)", m.Endpoint, m.LastErr))
		default:
			each = append(each, m.Endpoint)
		}
	}
	return "Waiting for " + strings.Join(each, ", ")
}
