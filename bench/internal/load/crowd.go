package load

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// After begins the values that a program writes to a watched key after the fault.
const After = "after "

// Crowd is a number of clients, each with a lease, a watch, or both.
type Crowd struct {
	dial   Dialer
	list   []Client
	leases []int64
	ended  []<-chan struct{}

	mu    sync.Mutex
	seen  []string    // guarded by mu; the last value that each watch delivered
	again []time.Time // guarded by mu; when each watch first delivered a value that begins with After
}

// Hold makes n clients; each holds a lease of ttl seconds (none if 0) and watches key
// (nothing if ""). The crowd must be closed.
func Hold(ctx context.Context, eps []string, dial Dialer, n int, ttl int64, key string) (*Crowd, error) {
	h := &Crowd{dial: dial, seen: make([]string, n), again: make([]time.Time, n)}
	for i := range n {
		if err := h.join(ctx, eps, i, ttl, key); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	return h, nil
}

func (h *Crowd) join(ctx context.Context, eps []string, i int, ttl int64, key string) error {
	c, err := h.dial(eps)
	if err != nil {
		return err
	}
	h.list = append(h.list, c)
	if ttl > 0 {
		id, ended, err := c.Keep(ctx, ttl)
		if err != nil {
			return err
		}
		h.leases, h.ended = append(h.leases, id), append(h.ended, ended)
	}
	if key == "" {
		return nil
	}
	return c.Watch(ctx, key, func(v string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.seen[i] = v
		if h.again[i].IsZero() && strings.HasPrefix(v, After) {
			h.again[i] = time.Now()
		}
	})
}

// Close closes all clients.
func (h *Crowd) Close() error {
	var err error
	for _, c := range h.list {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Without counts the watches whose last value is not v.
func (h *Crowd) Without(v string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.seen {
		if s != v {
			n++
		}
	}
	return n
}

// Silent counts the watches that had delivered nothing new by t, and returns when the last of the
// others did.
func (h *Crowd) Silent(t time.Time) (n int, last time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, at := range h.again {
		if at.IsZero() || at.After(t) {
			n++
		}
		if at.After(last) {
			last = at
		}
	}
	return n, last
}

// Lost counts the leases that no longer exist or that nobody renews. It asks members that the
// fault has spared.
func (h *Crowd) Lost(ctx context.Context, c *etcdtest.Cluster, victim *etcdtest.Member) int {
	o, err := h.dial(Spared(c, victim))
	if err != nil {
		return len(h.leases)
	}
	defer o.Close()
	n := 0
	for i, id := range h.leases {
		kept := true
		select {
		case <-h.ended[i]:
			kept = false
		default:
		}
		actx, cancel := context.WithTimeout(ctx, 10*time.Second)
		alive, err := o.Alive(actx, id)
		cancel()
		if err != nil || !alive || !kept {
			n++
		}
	}
	return n
}
