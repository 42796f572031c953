package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// crowd is the clients that each hold a lease and watch a key.
type crowd struct {
	dial   func([]string) (client, error)
	list   []client
	leases []int64
	ended  []<-chan struct{}

	mu   sync.Mutex
	seen []string // guarded by mu; the last value that each watch delivered
}

func hold(ctx context.Context, c *etcdtest.Cluster, dial func([]string) (client, error)) (*crowd, error) {
	h := &crowd{dial: dial, seen: make([]string, holders)}
	for i := range holders {
		cl, err := dial(c.Endpoints())
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
		h.list = append(h.list, cl)
		id, ended, err := cl.keep(ctx, leaseTTL)
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
		h.leases, h.ended = append(h.leases, id), append(h.ended, ended)
		err = cl.watch(ctx, "watched", func(v string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.seen[i] = v
		})
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	return h, nil
}

func (h *crowd) close() error {
	var err error
	for _, c := range h.list {
		err = errors.Join(err, c.close())
	}
	return err
}

// observer is a client of the members that the fault spares.
func (h *crowd) observer(c *etcdtest.Cluster, victim *etcdtest.Member) (client, error) {
	var eps []string
	for _, m := range c.Members() {
		if m != victim {
			eps = append(eps, m.Direct)
		}
	}
	return h.dial(eps)
}

// silent writes the watched key some time after the fault and counts the watches
// that do not deliver it within a second.
func (h *crowd) silent(ctx context.Context, c *etcdtest.Cluster, victim *etcdtest.Member, struck time.Time) int {
	o, err := h.observer(c, victim)
	if err != nil {
		return holders
	}
	defer o.close()
	wait(ctx, time.Until(struck.Add(watchFor)))
	for try := 0; ; try++ { // an election may still be on
		v := fmt.Sprint("after ", try)
		pctx, cancel := context.WithTimeout(ctx, deadline)
		err := o.put(pctx, "watched", v)
		cancel()
		if err != nil {
			if ctx.Err() != nil || time.Since(struck) > 10*watchFor {
				return holders
			}
			continue
		}
		wait(ctx, time.Second)
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
}

// lost counts the leases that do not exist any more, or that nobody renews.
func (h *crowd) lost(ctx context.Context, c *etcdtest.Cluster, victim *etcdtest.Member) int {
	o, err := h.observer(c, victim)
	if err != nil {
		return holders
	}
	defer o.close()
	n := 0
	for i, id := range h.leases {
		kept := true
		select {
		case <-h.ended[i]:
			kept = false
		default:
		}
		actx, cancel := context.WithTimeout(ctx, 10*time.Second)
		alive, err := o.alive(actx, id)
		cancel()
		if err != nil || !alive || !kept {
			n++
		}
	}
	return n
}
