package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// waitingAfter: most members answer sooner, so that no message is needed.
const waitingAfter = time.Second

// sayWaiting reports on a terminal, once, what a command waits for, if no member can be reached for
// a second. The returned function stops that.
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

// waitingFor returns the reasons why no member can be reached; it is empty if one can.
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
