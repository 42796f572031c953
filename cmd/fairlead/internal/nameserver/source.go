package nameserver

import (
	"context"
	"iter"

	"github.com/fairlead-go/fairlead/discovery"
)

// Source gives the instances of services.
type Source interface {
	// Subscribe begins to follow a service, without waiting. Its error wraps
	// discovery.ErrInvalid if no service can have this name.
	Subscribe(service string) (Feed, error)
}

// Feed follows one service. It is safe for concurrent use.
type Feed interface {
	// Ready waits until there is a view.
	Ready(ctx context.Context) error
	// View returns the present view, nil before the first. Another view is another value.
	View() View
	// Stale reports whether the view may be out of date.
	Stale() bool
	Close()
}

// View is a set of instances that never changes; *discovery.View is one.
type View interface {
	All() iter.Seq[*discovery.Instance]
}

// FromDirectory makes a Source of a Directory.
func FromDirectory(d *discovery.Directory) Source { return directory{d} }

type directory struct{ d *discovery.Directory }

func (s directory) Subscribe(service string) (Feed, error) {
	sub, err := s.d.Subscribe(service)
	if err != nil {
		return nil, err
	}
	return FeedOf(sub), nil
}

// FeedOf makes a Feed of a Subscription.
func FeedOf(s *discovery.Subscription) Feed { return subscription{s} }

type subscription struct{ *discovery.Subscription }

func (s subscription) View() View {
	if v := s.Subscription.View(); v != nil {
		return v
	}
	return nil // a nil View, not a View that holds a nil pointer
}

func (s subscription) Stale() bool { return s.Status().Stale }
