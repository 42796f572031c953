package console

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// sampleEvery is how often the overview is updated while a page shows it.
const sampleEvery = time.Second

// countEvery is the number of surveys for each count of requests, which costs a member some
// milliseconds.
const countEvery = 3

// sampler surveys the cluster through a client while streams need that, once for all of them. Its
// goroutine runs while there are subscribers.
type sampler struct {
	c      *Console
	client *clientv3.Client
	ctx    context.Context // ends with the client
	heat   heat

	mu      sync.Mutex // guards what follows
	subs    map[chan *overview]bool
	last    *overview
	running bool
}

func (p *sampler) init(c *Console, client *clientv3.Client, ctx context.Context) {
	p.c, p.client, p.ctx = c, client, ctx
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
		p.running = p.c.group.Go(func(context.Context) { p.run(p.ctx) })
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
		words  string // the members' problems when the members were listed
		sum    = tally{last: make(map[string]float64)}
	)
	for n := 0; ; n++ {
		if who == nil || who.err != "" || words != p.words() || time.Since(listed) > listEvery {
			words = p.words()
			who, listed = p.c.list(ctx, p.client), time.Now()
		}
		o := p.c.survey(ctx, p.client, who)
		if n%countEvery == 0 &&
			// after the survey: metrics take members some milliseconds, which would show as latency
			p.c.pages != nil {
			o.Requests = sum.add(o.received(ctx, p.c.pages))
		}
		if !p.publish(o) {
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

// words returns the problems that members reported in the last survey.
func (p *sampler) words() (text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil {
		for _, m := range p.last.Members {
			text += fmt.Sprint(m.ID, m.Problems)
		}
	}
	return text
}

// publish sends a survey to the subscribers; it returns false if there are none left.
func (p *sampler) publish(o *overview) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && p.last.looks() != o.looks() {
		p.c.examiner.hurry()
	}
	p.last = o
	for ch := range p.subs {
		select {
		case <-ch: // the subscriber has not taken it
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

// hostPort returns an endpoint without scheme and path.
func hostPort(endpoint string) string {
	if _, rest, ok := strings.Cut(endpoint, "://"); ok {
		endpoint = rest
	}
	return strings.TrimSuffix(endpoint, "/")
}
