package naming

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/internal/registry"
)

// watcher has no goroutine: Next does the work in its caller's. Between calls the client's watch
// engine bounds the events that wait.
type watcher struct {
	target   string
	log      func(msg string, kv ...any)
	follower *registry.Follower

	mu        sync.Mutex                            // held during Next
	begun     bool                                  // guarded by mu; the full set was returned
	held      map[string]map[string]registry.Record // guarded by mu; records by identity and key
	delivered map[string]registry.Record            // guarded by mu; the records that the caller has got, by identity
}

// identity distinguishes addresses, and records without one by their keys.
func identity(key string, r *registry.Record) string {
	if r.Addr == "" {
		return "key " + key
	}
	return "address " + r.Addr
}

func newWatcher(c *clientv3.Client, target string) *watcher {
	return &watcher{
		target:    target,
		log:       c.GetLogger().Sugar().Warnw,
		follower:  registry.NewFollower(context.Background(), c, target),
		held:      make(map[string]map[string]registry.Record),
		delivered: make(map[string]registry.Record),
	}
}

func (w *watcher) Close() {
	w.follower.Close()
	w.mu.Lock() // a Next under way ends first
	defer w.mu.Unlock()
}

func (w *watcher) Next() ([]*Update, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for failures := 0; ; {
		changes, err := w.follower.Next()
		if w.follower.Context().Err() != nil {
			return nil, ErrWatcherClosed
		}
		switch {
		case err == nil:
			failures = 0
			updates := w.apply(changes)
			if !w.begun || len(updates) > 0 {
				w.begun = true
				return updates, nil
			}
		case w.follower.Closed(err):
			return nil, fmt.Errorf("naming: service %q: %w", w.target, clientv3.ErrClosed)
		case registry.Refused(err):
			return nil, fmt.Errorf("naming: service %q: %w", w.target, err)
		default:
			if failures == 0 {
				w.log("a service cannot be watched for the moment", "service", w.target, "error", err)
			}
			w.follower.Pause(failures, registry.PauseMax)
			failures++
		}
	}
}

// apply turns changes of keys into changes of addresses.
func (w *watcher) apply(changes []registry.Change) []*Update {
	var touched []string // identities
	for _, c := range changes {
		if c.Was != nil {
			id := identity(c.Key, c.Was)
			delete(w.held[id], c.Key)
			touched = append(touched, id)
		}
		if c.Now != nil {
			id := identity(c.Key, c.Now)
			if w.held[id] == nil {
				w.held[id] = make(map[string]registry.Record)
			}
			w.held[id][c.Key] = *c.Now
			touched = append(touched, id)
		}
	}
	updates := make([]*Update, 0, len(touched))
	for _, id := range touched {
		was, known := w.delivered[id]
		if len(w.held[id]) == 0 {
			delete(w.held, id)
			if known {
				delete(w.delivered, id)
				updates = append(updates, &Update{Op: Delete, Addr: was.Addr, Metadata: was.Metadata})
			}
			continue
		}
		// If several keys have one address, the first in order decides, so that all watchers agree.
		now := w.held[id][slices.Min(slices.Collect(maps.Keys(w.held[id])))]
		if !known || !registry.Equal(was, now) {
			w.delivered[id] = now
			updates = append(updates, &Update{Op: Add, Addr: now.Addr, Metadata: now.Metadata})
		}
	}
	return updates
}
