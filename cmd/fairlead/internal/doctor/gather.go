package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/scrape"
)

// Options are for Gather.
type Options struct {
	Timeout time.Duration // of each request
	TLS     *tls.Config   // for the members' HTTP pages; nil if they have none
}

const (
	tries       = 3
	leaseSample = 500
)

// Gather asks the cluster. It fails only if ctx ends; what could not be learned is in the
// facts.
func Gather(ctx context.Context, c *clientv3.Client, o Options) (*Facts, error) {
	g := gathering{c: c, o: o, f: &Facts{Now: time.Now(), Secure: o.TLS != nil}}
	g.members(ctx)
	var wg sync.WaitGroup
	for _, m := range g.f.Members {
		for i := range m.URLs {
			wg.Go(func() { g.address(ctx, &m.URLs[i]) })
		}
	}
	wg.Go(func() { g.reads(ctx) })
	wg.Go(func() { g.leases(ctx) })
	wg.Wait()
	g.identify()
	for _, m := range g.f.Members {
		for _, a := range m.URLs {
			g.f.Remote = g.f.Remote || !onThisMachine(a.URL)
		}
	}
	return g.f, ctx.Err()
}

type gathering struct {
	c *clientv3.Client
	o Options
	f *Facts
}

func (g *gathering) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.o.Timeout)
}

// members lists members and their addresses. What the user named and no member advertises
// gets a member of its own until it has said which one it is.
func (g *gathering) members(ctx context.Context) {
	cctx, cancel := g.within(ctx)
	defer cancel()
	resp, err := g.c.MemberList(cctx, clientv3.WithSerializable()) // also without a quorum
	g.f.ListErr = err
	known := make(map[string]bool)
	if err == nil {
		for _, pm := range resp.Members {
			m := &Member{ID: pm.ID, Name: pm.Name, Learner: pm.IsLearner}
			for _, u := range pm.ClientURLs {
				m.URLs = append(m.URLs, Address{URL: u, Advertised: true, Elections: -1})
				known[bare(u)] = true
			}
			g.f.Members = append(g.f.Members, m)
		}
	}
	slices.SortFunc(g.f.Members, func(a, b *Member) int { return cmp.Compare(a.Name, b.Name) })
	for _, e := range g.c.Endpoints() {
		if !known[bare(e)] {
			g.f.Members = append(g.f.Members, &Member{URLs: []Address{{URL: e, Elections: -1}}})
		}
	}
}

// bare is an address without its scheme.
func bare(u string) string {
	_, rest, ok := strings.Cut(u, "://")
	if !ok {
		return u
	}
	return strings.TrimSuffix(rest, "/")
}

// identify gives the addresses that only the user names to the members behind them.
func (g *gathering) identify() {
	byID := make(map[uint64]*Member)
	for _, m := range g.f.Members {
		if m.ID != 0 {
			byID[m.ID] = m
		}
	}
	g.f.Members = slices.DeleteFunc(g.f.Members, func(m *Member) bool {
		if m.ID != 0 {
			return false
		}
		a := m.URLs[0]
		if a.Status == nil {
			m.Unlisted = len(byID) > 0
			return false
		}
		id := a.Status.GetHeader().GetMemberId()
		if owner := byID[id]; owner != nil {
			owner.URLs = append(owner.URLs, a)
			return true
		}
		m.ID = id
		byID[id] = m
		return false
	})
}

func (g *gathering) address(ctx context.Context, a *Address) {
	var took []time.Duration
	for range tries {
		cctx, cancel := g.within(ctx)
		began := time.Now()
		st, err := g.c.Status(cctx, a.URL)
		cancel()
		if a.Err = err; err != nil {
			return
		}
		took = append(took, time.Since(began))
		a.Status = (*pb.StatusResponse)(st)
	}
	slices.Sort(took)
	a.Took = took[len(took)/2]
	g.pages(ctx, a)
}

func (g *gathering) reads(ctx context.Context) {
	f := g.f
	cctx, cancel := g.within(ctx)
	defer cancel()
	began := time.Now()
	resp, err := g.c.Get(cctx, "\x00", clientv3.WithLimit(1), clientv3.WithKeysOnly())
	f.Read = Probe{Took: time.Since(began), Err: err}
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		f.Read.Err = nil // it was answered
	}
	if err != nil {
		return
	}
	f.Revision = resp.Header.Revision
	if _, err := g.c.Get(cctx, "\x00", clientv3.WithRev(1), clientv3.WithLimit(1), clientv3.WithKeysOnly()); errors.Is(err, rpctypes.ErrCompacted) {
		f.Compacted = true
	}
	if alarms, err := g.c.AlarmList(cctx); err == nil {
		f.Alarms = alarms.Alarms
	}
	if auth, err := g.c.AuthStatus(cctx); err == nil {
		f.AuthOn = &auth.Enabled
	}
}

func (g *gathering) leases(ctx context.Context) {
	f := g.f
	cctx, cancel := g.within(ctx)
	defer cancel()
	resp, err := g.c.Leases(cctx)
	if f.LeaseErr = err; err != nil {
		return
	}
	f.AllLeases = len(resp.Leases)
	step := max(1, len(resp.Leases)/leaseSample)
	for i := 0; i < len(resp.Leases) && len(f.Leases) < leaseSample; i += step {
		l, err := g.c.TimeToLive(cctx, resp.Leases[i].ID, clientv3.WithAttachedKeys())
		if err != nil {
			if len(f.Leases) == 0 {
				f.LeaseErr = err
			}
			return
		}
		if l.TTL < 0 {
			continue // it has ended
		}
		f.Leases = append(f.Leases, Lease{
			ID: int64(l.ID), TTL: time.Duration(l.GrantedTTL) * time.Second, Left: time.Duration(l.TTL) * time.Second, Keys: len(l.Keys),
		})
	}
}

// onThisMachine reports whether an address is local.
func onThisMachine(u string) bool {
	if strings.HasPrefix(u, "unix") {
		return true
	}
	host, _, err := net.SplitHostPort(bare(u))
	if err != nil {
		host = bare(u)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// pages reads a member's clock and metrics from its HTTP pages, which it has at the address
// for clients unless it was told otherwise. Without them there is less to say.
func (g *gathering) pages(ctx context.Context, a *Address) {
	pages := scrape.New(g.o.TLS)
	defer pages.Close()
	cctx, cancel := g.within(ctx)
	defer cancel()
	var h histograms
	began := time.Now()
	header, err := pages.Lines(cctx, a.URL, func(l string) { h.line(l, a) })
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		half := time.Since(began) / 2
		// The header has whole seconds: half of one more is what it means on average.
		a.Clock, a.HasClock = at.Add(time.Second/2).Sub(began.Add(half)), true
	}
	if err == nil {
		a.Fsync, a.Commit = quantile(h.fsync), quantile(h.commit)
	}
}

// histograms of a page.
type histograms struct{ fsync, commit []bucket }

// line takes what the rules look at from a line of a page.
func (h *histograms) line(l string, a *Address) {
	if n, ok := scrape.Value(l, "etcd_server_leader_changes_seen_total"); ok {
		a.Elections = n
	} else if v, ok := strings.CutPrefix(l, "etcd_disk_wal_fsync_duration_seconds_bucket{le=\""); ok {
		h.fsync = addBucket(h.fsync, v)
	} else if v, ok := strings.CutPrefix(l, "etcd_disk_backend_commit_duration_seconds_bucket{le=\""); ok {
		h.commit = addBucket(h.commit, v)
	}
}

// bucket of a histogram: count of what took at most le seconds.
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

// enough: below so many, the slowest percent is chance.
const enough = 500

// quantile is the upper bound of the bucket that the 99th percentile falls in.
func quantile(list []bucket) Quantile {
	if len(list) == 0 || list[len(list)-1].count < enough {
		return Quantile{}
	}
	want := 0.99 * list[len(list)-1].count
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
