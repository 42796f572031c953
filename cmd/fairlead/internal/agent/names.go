package agent

import (
	"sync"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/nameserver"
	"github.com/fairlead-go/fairlead/discovery"
)

// names are the services that clients ask for over DNS. It is the nameserver's Source and remembers
// which services it follows, so that the agent can say how old all of its answers are.
type names struct {
	directory *discovery.Directory

	mu       sync.Mutex
	followed map[*nameFeed]string
}

// nameFeed is a service that the nameserver follows.
type nameFeed struct {
	nameserver.Feed
	sub *discovery.Subscription
	of  *names
}

func newNames(d *discovery.Directory) *names {
	return &names{directory: d, followed: make(map[*nameFeed]string)}
}

// Subscribe begins to follow a service.
func (n *names) Subscribe(service string) (nameserver.Feed, error) {
	sub, err := n.directory.Subscribe(service)
	if err != nil {
		return nil, err
	}
	f := &nameFeed{nameserver.FeedOf(sub), sub, n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.followed[f] = service
	return f, nil
}

func (f *nameFeed) Close() {
	f.of.mu.Lock()
	delete(f.of.followed, f)
	f.of.mu.Unlock()
	f.Feed.Close()
}

// known adds the services that are followed.
func (n *names) known(all map[string]*discovery.Subscription) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for f, service := range n.followed {
		all[service] = f.sub
	}
}
