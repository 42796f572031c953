package doctor

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/scrape"
)

// counters are the counts on a member's page of metrics since the member's start.
type counters struct {
	fsync, commit []bucket
	leaders       float64 // changes of the leader; below 0 if unknown
	started       float64 // seconds since 1970; 0 if unknown
	received      [Kinds]float64
	// ids are those of the members in that process, which share its counters.
	ids []string
}

// line reads the values for the rules from a line of a page.
func (c *counters) line(l string) {
	if n, ok := scrape.Value(l, "etcd_server_leader_changes_seen_total"); ok {
		c.leaders = n
	} else if n, ok := scrape.Value(l, "process_start_time_seconds"); ok {
		c.started = n
	} else if id, ok := scrape.MemberID(l); ok {
		c.ids = append(c.ids, id)
	} else if v, ok := strings.CutPrefix(l, "etcd_disk_wal_fsync_duration_seconds_bucket{le=\""); ok {
		c.fsync = addBucket(c.fsync, v)
	} else if v, ok := strings.CutPrefix(l, "etcd_disk_backend_commit_duration_seconds_bucket{le=\""); ok {
		c.commit = addBucket(c.commit, v)
	} else {
		c.count(l)
	}
}

// bucket of a histogram: how many operations took at most le seconds.
type bucket struct{ le, count float64 }

func addBucket(list []bucket, v string) []bucket {
	var b bucket
	le, n, ok := strings.Cut(v, `"} `)
	if !ok {
		return list
	}
	if le == "+Inf" {
		b.le = math.Inf(1)
	} else if _, err := fmt.Sscan(le, &b.le); err != nil {
		return list
	}
	if _, err := fmt.Sscan(n, &b.count); err != nil {
		return list
	}
	return append(list, b)
}

// since returns what a histogram has counted after an earlier read: all of it if the member has
// restarted.
func since(before, now []bucket) []bucket {
	if len(before) != len(now) || len(now) == 0 || before[len(before)-1].count > now[len(now)-1].count {
		return now
	}
	list := slices.Clone(now)
	for i := range list {
		list[i].count -= before[i].count
	}
	return list
}

// enough is the number of commits of a member that writes without a pause in about 5 s: it commits
// every 100 ms.
const enough = 40

// quantile returns the upper bound of the bucket with the 99th percentile. A single slow operation
// is chance, and never counts.
func quantile(list []bucket) Quantile {
	if len(list) == 0 || list[len(list)-1].count < enough {
		return Quantile{}
	}
	all := list[len(list)-1].count
	want := min(0.99*all, all-1)
	for i, b := range list {
		if b.count >= want {
			if math.IsInf(b.le, 1) && i > 0 {
				b.le = list[i-1].le
			}
			return Quantile{P99: time.Duration(b.le * float64(time.Second)), Known: true}
		}
	}
	return Quantile{}
}

// compare computes what happened between two reads of a member's page; before is nil if there was
// no earlier one.
func (a *Address) compare(before, now *counters) {
	a.counted = now
	a.LeadersSeen = now.leaders
	if n := len(now.ids); n > 1 {
		a.LeadersSeen /= float64(n)
	}
	if before == nil {
		before = &counters{leaders: -1}
	}
	a.Fsync, a.Commit = quantile(since(before.fsync, now.fsync)), quantile(since(before.commit, now.commit))
	if before.leaders >= 0 && now.leaders > before.leaders {
		a.NewLeaders = (now.leaders - before.leaders) / float64(max(len(now.ids), 1)) // each member saw all of them
	}
}

// counted returns the counters of each address.
func (f *Facts) counted() map[string]*counters {
	all := make(map[string]*counters)
	for _, m := range f.Members {
		for _, a := range m.URLs {
			if a.counted != nil {
				all[a.URL] = a.counted
			}
		}
	}
	return all
}

// inProcess returns the names of the members that share counters.
func (f *Facts) inProcess(c *counters) (names []string) {
	if c == nil {
		return nil
	}
	for _, m := range f.Members {
		if slices.Contains(c.ids, idText(m.ID)) {
			names = append(names, m.title())
		}
	}
	return names
}

// count reads the pages of all members.
func (g *gathering) count(ctx context.Context) map[string]*counters {
	var wg sync.WaitGroup
	for _, m := range g.f.Members {
		for i := range m.URLs {
			wg.Go(func() { g.pages(ctx, &m.URLs[i]) })
		}
	}
	wg.Wait()
	return g.f.counted()
}

// defrags notes whether a member does not answer because it is being defragmented: its page does
// even then.
func (g *gathering) defrags(ctx context.Context, a *Address) {
	if !g.o.Pages {
		return
	}
	pages := scrape.New(g.o.TLS)
	defer pages.Close()
	cctx, cancel := g.within(ctx)
	defer cancel()
	_, _ = pages.Lines(cctx, a.URL, func(l string) {
		if n, ok := scrape.Value(l, "etcd_disk_defrag_inflight"); ok {
			a.Defrags = n > 0
		}
	})
}

// pages reads a member's clock and metrics from its HTTP pages, which it serves at its client
// address unless it is configured otherwise. Without them some rules cannot judge.
func (g *gathering) pages(ctx context.Context, a *Address) {
	pages := scrape.New(g.o.TLS)
	defer pages.Close()
	if !g.o.Pages {
		return
	}
	cctx, cancel := g.within(ctx)
	defer cancel()
	now := &counters{leaders: -1}
	began := time.Now()
	answer, err := pages.Lines(cctx, a.URL, now.line)
	a.Certificate = answer.Certificate
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		half := time.Since(began) / 2
		// The header has whole seconds: on average half a second is missing.
		a.Clock, a.HasClock = at.Add(time.Second/2).Sub(began.Add(half)), true
	}
	if a.PagesErr = err; err == nil {
		a.compare(g.before[a.URL], now)
	}
}
