package services

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

// runEvent is a line of JSON about a change of an instance.
type runEvent struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	ID      string    `json:"id"`
	Address string    `json:"address"`
	Event   string    `json:"event"`
	Error   string    `json:"error,omitempty"`
}

// registration prints an event of the registrar.
func (r *runner) registration(e discovery.Event) {
	what := string(e.Kind)
	switch e.Kind {
	case discovery.Registered:
		what = "up"
	case discovery.Leaving, discovery.Left: // run prints its own lines about the drain
		return
	}
	r.tell(what, e.Err)
}

// tell prints on standard error, in one line, what becomes of the instance, and the reason if there
// is one.
func (r *runner) tell(event string, why error) {
	e := runEvent{Time: time.Now(), Service: r.in.Service, ID: r.in.ID, Address: address(&r.in), Event: event}
	if why != nil {
		e.Error = why.Error()
	}
	if r.app.Out.Format == command.FormatJSON {
		if text, err := json.Marshal(e); err == nil {
			fmt.Fprintf(r.app.Env.Stderr, "%s\n", text)
		}
		return
	}
	text := fmt.Sprintf("%s/%s at %s: %s", e.Service, e.ID, e.Address, e.Event)
	if why != nil {
		text += ": " + e.Error
	}
	fmt.Fprintln(r.app.Env.Stderr, text)
}
