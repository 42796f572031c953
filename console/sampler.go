package console

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// sampleEvery is how often the overview is brought up to date while somebody looks.
const sampleEvery = time.Second

// countEvery how many surveys requests are counted, which costs a member some milliseconds.
const countEvery = 3

// sampler surveys the cluster while a session has streams that want to know, once for all of them. Its goroutine runs as long as
// there are subscribers.
type sampler struct {
	s        *session
	requests RequestCounter

	mu      sync.Mutex // guards what follows
	subs    map[chan *overview]bool
	last    *overview
	running bool
}

func (p *sampler) init(s *session, requests RequestCounter) {
	p.s, p.requests = s, requests
	p.subs = make(map[chan *overview]bool)
}

// subscribe returns a channel that always holds the latest survey; cancel ends it.
func (p *sampler) subscribe() (latest <-chan *overview, cancel func()) {
	ch := make(chan *overview, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subs[ch] = true
	if p.last != nil && time.Since(time.UnixMilli(p.last.At)) < 2*sampleEvery {
		ch <- p.last
	}
	if !p.running {
		p.running = p.s.owner.c.group.Go(func(context.Context) { p.run(p.s.ctx) })
	}
	return ch, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.subs, ch)
	}
}

func (p *sampler) run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var (
		who    *roster
		listed time.Time
	)
	for n := 0; ; n++ {
		if who == nil || who.err != "" || time.Since(listed) > listEvery {
			fresh := list(ctx, p.s.client)
			if who != nil && fresh.err != "" { // what was known is better than nothing
				fresh.names, fresh.urls = who.names, who.urls
			}
			who, listed = fresh, time.Now()
		}
		requests := p.requests
		if n%countEvery != 0 {
			requests = nil
		}
		if o := survey(ctx, p.s.client, who, requests); !p.publish(o) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.mu.Lock()
			p.running = false
			p.mu.Unlock()
			return
		}
	}
}

// publish hands out a survey; false if there is nobody any more.
func (p *sampler) publish(o *overview) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = o
	for ch := range p.subs {
		select {
		case <-ch: // it was not taken
		default:
		}
		ch <- o
	}
	p.running = len(p.subs) > 0
	return p.running
}

func sortMembers(list []member) {
	slices.SortFunc(list, func(a, b member) int { return strings.Compare(a.ID, b.ID) })
}

// hostPort is an endpoint without scheme and path.
func hostPort(endpoint string) string {
	if _, rest, ok := strings.Cut(endpoint, "://"); ok {
		endpoint = rest
	}
	return strings.TrimSuffix(endpoint, "/")
}
