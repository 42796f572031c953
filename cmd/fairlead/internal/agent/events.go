package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

const (
	// beatEvery is how often a quiet stream gets a comment, which shows that it is alive.
	beatEvery = 15 * time.Second
	// sendWithin is how long a reader may take for an event. Meanwhile changes are merged, so a
	// slow reader costs no more memory.
	sendWithin = 10 * time.Second
)

// changeEvent holds the changes since the event before.
type changeEvent struct {
	Service string `json:"service"`
	sureness
	Added   []*discovery.Instance `json:"added"`
	Updated []*discovery.Instance `json:"updated"`
	Removed []string              `json:"removed"` // ids
	Split   discovery.Split       `json:"split,omitempty"`
}

// events follows a service: first comes an event "view" with all of it, then an event "change" for
// each difference.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		fail(w, errBusy)
		return
	}
	service := r.PathValue("service")
	sub, err := a.feeds.directory.Subscribe(service)
	if err != nil {
		fail(w, err)
		return
	}
	defer sub.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.ending, cancel)()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	out := &stream{w: w, control: http.NewResponseController(w)}
	err = out.flush(": \n\n") // so that the client gets the header now
	for first := true; err == nil; {
		change, got := next(ctx, sub)
		switch {
		case ctx.Err() != nil, errors.Is(got, discovery.ErrClosed):
			return
		case got != nil:
			err = out.flush(": \n\n")
			continue
		case first:
			err = out.send(
				"view",
				change.View,
				viewAnswer{
					Service:   service,
					sureness:  sure(sub, change.View),
					Instances: change.View.Instances(),
					Split:     change.View.Split(),
				},
			)
		default:
			err = out.send("change", change.View, difference(service, sub, &change))
		}
		first = false
	}
}

// next waits for a change, for at most beatEvery.
func next(ctx context.Context, sub *discovery.Subscription) (discovery.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	return sub.Next(ctx)
}

func difference(service string, sub *discovery.Subscription, c *discovery.Change) changeEvent {
	e := changeEvent{
		Service:  service,
		sureness: sure(sub, c.View),
		Added:    []*discovery.Instance{},
		Updated:  []*discovery.Instance{},
		Removed:  []string{},
		Split:    c.View.Split(),
	}
	e.Stale = c.Stale
	e.Added = append(e.Added, c.Added...)
	e.Updated = append(e.Updated, c.Updated...)
	for _, in := range c.Removed {
		e.Removed = append(e.Removed, in.ID)
	}
	return e
}

// stream writes events, each within sendWithin.
type stream struct {
	w       io.Writer
	control *http.ResponseController
}

func (s *stream) send(kind string, v *discovery.View, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.flush(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", v.Revision(), kind, text))
}

func (s *stream) flush(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil {
		return err
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}
