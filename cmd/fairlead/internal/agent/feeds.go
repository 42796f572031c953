package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

const (
	// idleAfter is how long nobody must have asked for a service before it is dropped.
	idleAfter = 5 * time.Minute
	// loadWithin is how long the first view of a service may take.
	loadWithin = 2 * time.Second
)

var (
	errBusy    = errors.New("agent: too many services are asked for")
	errUnready = errors.New("agent: etcd does not answer, and nothing is known of the service")
)

// feeds are the services that clients ask for over HTTP. Each costs etcd a watch, so their number
// is limited.
type feeds struct {
	directory *discovery.Directory
	most      int

	mu     sync.Mutex
	byName map[string]*feed
}

type feed struct {
	*discovery.Subscription
	since   time.Time
	asked   time.Time         // guarded by feeds.mu
	pickers [2]*pick.Balancer // by weight, by key; guarded by feeds.mu, nil until the first use
}

// at begins to follow a service, if it is not followed yet.
func (f *feeds) at(service string) (*feed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if one := f.byName[service]; one != nil {
		one.asked = now
		return one, nil
	}
	if len(f.byName) >= f.most && !f.makeRoom() {
		return nil, errBusy
	}
	sub, err := f.directory.Subscribe(service)
	if err != nil {
		return nil, err
	}
	one := &feed{Subscription: sub, since: now, asked: now}
	f.byName[service] = one
	return one, nil
}

// ready calls at, and waits for a view.
func (f *feeds) ready(ctx context.Context, service string) (*feed, *discovery.View, error) {
	one, err := f.at(service)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, one.since.Add(loadWithin))
	defer cancel()
	_ = one.Ready(ctx) // View says whether there is one
	if v := one.View(); v != nil {
		return one, v, nil
	}
	if err := one.Status().Err; err != nil {
		return nil, nil, err
	}
	return nil, nil, errUnready
}

// picker chooses instances of a service, by their weights or by a key.
func (f *feeds) picker(one *feed, service string, byKey bool) (*pick.Balancer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, policy := 0, pick.Weighted()
	if byKey {
		at, policy = 1, pick.Hash()
	}
	if one.pickers[at] == nil {
		sub, err := f.directory.Subscribe(service)
		if err != nil {
			return nil, err
		}
		one.pickers[at] = pick.Follow(sub, policy)
	}
	return one.pickers[at], nil
}

// makeRoom drops the service without instances whose last request is the oldest.
func (f *feeds) makeRoom() bool {
	var drop string
	for name, one := range f.byName {
		if one.empty() && (drop == "" || one.asked.Before(f.byName[drop].asked)) {
			drop = name
		}
	}
	if drop == "" {
		return false
	}
	f.drop(drop)
	return true
}

func (f *feeds) drop(service string) {
	one := f.byName[service]
	for _, p := range one.pickers {
		if p != nil {
			p.Close()
		}
	}
	one.Close()
	delete(f.byName, service)
}

func (one *feed) empty() bool {
	v := one.View()
	return v == nil || v.Len() == 0
}

// run drops services that nobody asks for. Known instances stay while etcd is away: they could not
// be read again.
func (f *feeds) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			for name := range f.byName {
				f.drop(name)
			}
			return
		case now := <-tick.C:
			f.mu.Lock()
			for name, one := range f.byName {
				// Reading the view acknowledges to draining instances that they are seen.
				if empty := one.empty(); now.Sub(one.asked) >= idleAfter && (empty || !one.Status().Stale) {
					f.drop(name)
				}
			}
			f.mu.Unlock()
		}
	}
}

// known adds the services that are followed.
func (f *feeds) known(all map[string]*discovery.Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for service, one := range f.byName {
		all[service] = one.Subscription
	}
}
