package console

import (
	"context"
	"strings"
	"sync"

	"github.com/fairlead-go/fairlead/internal/scrape"
)

// counted is how many requests a process has received.
type counted struct {
	process  string // "" if it is not known
	requests float64
}

// work are the services whose requests are counted. It leaves out health checks and the requests
// that observe a cluster, most of which are this console's own.
var work = []string{
	"etcdserverpb.KV",
	"etcdserverpb.Lease",
	"etcdserverpb.Watch",
	"v3lockpb.Lock",
	"v3electionpb.Election",
}

// requestsOf returns the number in a line of a member's metrics if the line counts requests.
func requestsOf(line string) float64 {
	n, ok := scrape.Value(line, "grpc_server_started_total")
	if !ok {
		return 0
	}
	for _, service := range work {
		if strings.Contains(line, `grpc_service="`+service+`"`) {
			return n
		}
	}
	return 0
}

// received reads the metrics of all members that answer.
func (o *overview) received(ctx context.Context, pages *scrape.Reader) []counted {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	list := make([]counted, len(o.Members))
	var wg sync.WaitGroup
	for i, m := range o.Members {
		if !m.Up {
			continue
		}
		wg.Go(func() {
			var c counted
			first := ""
			_, err := pages.Lines(ctx, m.Endpoint, func(line string) {
				if id, ok := scrape.MemberID(line); ok && (first == "" || id < first) {
					first = id // members in one process have one page
				}
				c.requests += requestsOf(line)
			})
			if c.process = first; first == "" {
				c.process = m.Endpoint
			}
			if err == nil {
				list[i] = c
			}
		})
	}
	wg.Wait()
	return list
}

// tally adds up the counts of processes, each once. A process that has restarted, or was away for a
// while, causes no jump.
type tally struct {
	total float64
	last  map[string]float64 // by process
}

func (t *tally) add(list []counted) float64 {
	now := make(map[string]float64)
	for _, c := range list {
		if c.process != "" {
			now[c.process] = c.requests
		}
	}
	first := t.total == 0
	for process, n := range now {
		before, known := t.last[process]
		switch {
		case first:
			t.total += n
		case known && n >= before:
			t.total += n - before
		}
		t.last[process] = n
	}
	if len(now) == 0 {
		return 0
	}
	return t.total
}
