package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Options are for Gather.
type Options struct {
	Timeout time.Duration // of each request
	Pages   bool          // read the members' pages of metrics
	TLS     *tls.Config   // for them; nil if there is none
	Leases  bool          // read leases, which costs a request for each in the sample
	// Period is how long Gather waits between two reads of the members' counters, to judge the
	// present; 0 means one read, to judge all since the members' start.
	Period time.Duration
	// Before are the facts of an earlier call, which count as the first read.
	Before *Facts
}

const (
	tries       = 3
	leaseSample = 500
)

// Gather reads the facts from the cluster. It fails only if ctx ends; the facts say what could not
// be found out.
func Gather(ctx context.Context, c *clientv3.Client, o Options) (*Facts, error) {
	g := gathering{c: c, o: o}
	g.lookBefore(ctx)
	g.members(ctx)
	var wg sync.WaitGroup
	for _, m := range g.f.Members {
		for i := range m.URLs {
			wg.Go(func() { g.address(ctx, &m.URLs[i]) })
		}
	}
	wg.Go(func() { g.reads(ctx) })
	if o.Leases {
		wg.Go(func() { g.leases(ctx) })
	}
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
	c      *clientv3.Client
	o      Options
	f      *Facts
	before map[string]*counters // by address
}

// lookBefore reads the members' counters at the beginning of the period.
func (g *gathering) lookBefore(ctx context.Context) {
	var at time.Time
	switch {
	case g.o.Before != nil:
		g.before, at = g.o.Before.counted(), g.o.Before.Now
	case g.o.Period > 0:
		g.members(ctx)
		at = time.Now()
		if g.before = g.count(ctx); len(g.before) > 0 {
			select {
			case <-time.After(g.o.Period):
			case <-ctx.Done():
			}
		}
	}
	g.f = &Facts{Now: time.Now(), Secure: g.o.TLS != nil, OwnCertificate: ownCertificate(g.o.TLS)}
	if len(g.before) > 0 {
		g.f.Period = g.f.Now.Sub(at)
	}
}

func (g *gathering) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.o.Timeout)
}

// members lists members and their addresses. An endpoint of the user's that no member advertises
// gets a member of its own until its status identifies it.
func (g *gathering) members(ctx context.Context) {
	g.f = cmp.Or(g.f, &Facts{})
	cctx, cancel := g.within(ctx)
	defer cancel()
	resp, err := g.c.MemberList(cctx, clientv3.WithSerializable()) // works without a quorum too
	g.f.ListErr = err
	known := make(map[string]bool)
	if err == nil {
		for _, pm := range resp.Members {
			m := &Member{ID: pm.ID, Name: pm.Name, Learner: pm.IsLearner, PeerURLs: pm.PeerURLs}
			for _, u := range pm.ClientURLs {
				m.URLs = append(m.URLs, Address{URL: u, Advertised: true, LeadersSeen: -1})
				known[bare(u)] = true
			}
			g.f.Members = append(g.f.Members, m)
		}
	}
	slices.SortFunc(g.f.Members, func(a, b *Member) int { return cmp.Compare(a.Name, b.Name) })
	for _, e := range g.c.Endpoints() {
		if !known[bare(e)] {
			g.f.Members = append(g.f.Members, &Member{URLs: []Address{{URL: e, LeadersSeen: -1}}})
		}
	}
}

// ownCertificate returns the certificate that a configuration presents to servers, nil if none.
func ownCertificate(cfg *tls.Config) *x509.Certificate {
	if cfg == nil || cfg.GetClientCertificate == nil {
		return nil
	}
	c, err := cfg.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil {
		return nil
	}
	return c.Leaf
}

// bare returns an address without its scheme.
func bare(u string) string {
	_, rest, ok := strings.Cut(u, "://")
	if !ok {
		return u
	}
	return strings.TrimSuffix(rest, "/")
}

// identify assigns the addresses that only the user names to their members.
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
			g.defrags(ctx, a)
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
		f.Read.Err, f.KeysErr = nil, err // the refusal is an answer
	}
	if f.Read.Err != nil {
		return
	}
	if f.KeysErr == nil {
		f.Revision = resp.Header.Revision
		_, err := g.c.Get(cctx, "\x00", clientv3.WithRev(1), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if errors.Is(err, rpctypes.ErrCompacted) {
			f.Compacted = true
		}
	}
	alarms, err := g.c.AlarmList(cctx)
	if f.AlarmErr = err; err == nil {
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
			continue // the lease has ended
		}
		f.Leases = append(f.Leases, Lease{
			ID: int64(
				l.ID,
			), TTL: time.Duration(l.GrantedTTL) * time.Second, Left: time.Duration(l.TTL) * time.Second,
			Keys: len(l.Keys),
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
