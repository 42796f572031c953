package clientv3_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// recorder keeps what hooks report.
type recorder struct {
	mu       sync.Mutex
	attempts []clientv3.AttemptInfo
	members  []clientv3.MemberChange
	streams  []clientv3.StreamInfo
	watches  []clientv3.WatchInfo
	leases   []clientv3.LeaseInfo
}

func keep[T any](r *recorder, list *[]T) func(T) {
	return func(v T) {
		r.mu.Lock()
		defer r.mu.Unlock()
		*list = append(*list, v)
	}
}

func (r *recorder) hooks() clientv3.Hooks {
	return clientv3.Hooks{
		Attempt: keep(r, &r.attempts), Member: keep(r, &r.members),
		Stream: keep(r, &r.streams), Watch: keep(r, &r.watches), Lease: keep(r, &r.leases),
	}
}

// has reports whether some element of a list, which hooks append to, fits.
func has[T any](r *recorder, list *[]T, fits func(T) bool) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, v := range *list {
			if fits(v) {
				return true
			}
		}
		return false
	}
}

func TestHooks(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	r := &recorder{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: r.hooks()})
	works(t, c)
	await(t, "the put's attempt is reported", has(r, &r.attempts, func(a clientv3.AttemptInfo) bool {
		return a.Method == "KV.Put" && a.Member != "" && a.Err == nil && a.Took > 0 && a.Number == 0 && !a.Hedge
	}))
	await(t, "a member becomes healthy", has(r, &r.members, func(m clientv3.MemberChange) bool {
		return m.From == "connecting" && m.To == "healthy"
	}))
	ctx, cancel := context.WithCancel(ctxFor(t, 2*long))
	ch := c.Watch(ctx, "hooks") // a key that nobody writes
	g, err := c.Grant(ctx, 30)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-kept
	for _, e := range []clientv3.LeaseEvent{clientv3.LeaseGranted, clientv3.LeaseRenewed} {
		await(
			t,
			"lease "+e.String(),
			has(r, &r.leases, func(l clientv3.LeaseInfo) bool { return l.ID == g.ID && l.Event == e && l.TTL == 30 }),
		)
	}
	var on string
	await(t, "streams are opened", has(r, &r.streams, func(s clientv3.StreamInfo) bool {
		if s.Service == "Watch" && !s.Ended {
			on = s.Member
		}
		return on != "" && s.Service == "Lease" && !s.Ended
	}))
	var victim *etcdtest.Member
	for _, m := range cl.Members() {
		if m.Endpoint == on {
			victim = m
		}
	}
	if err := victim.Freeze(); err != nil {
		t.Fatal(err)
	}
	await(t, "the watch's member is left", has(r, &r.streams, func(s clientv3.StreamInfo) bool {
		return s.Service == "Watch" && s.Ended && s.Member == on && s.Err != nil
	}))
	await(t, "and the watch goes on elsewhere", has(r, &r.streams, func(s clientv3.StreamInfo) bool {
		return s.Service == "Watch" && !s.Ended && s.Member != on
	}))
	await(t, "the member is ejected", has(r, &r.members, func(m clientv3.MemberChange) bool {
		return m.Endpoint == on && m.To == "ejected" && m.Err != nil
	}))
	if err := victim.Thaw(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Revoke(ctxFor(t, long), g.ID); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the lease is reported", has(r, &r.leases, func(l clientv3.LeaseInfo) bool {
		return l.ID == g.ID && l.Event == clientv3.LeaseEnded && l.Reason == "revoked"
	}))
	none, err := c.KeepAlive(ctx, 4711)
	if err != nil {
		t.Fatal(err)
	}
	ends(t, none)
	await(t, "a loss is reported", has(r, &r.leases, func(l clientv3.LeaseInfo) bool {
		return l.ID == 4711 && l.Event == clientv3.LeaseLost && l.Reason == "expired"
	}))
	bad := c.Watch(ctx, "hooks", clientv3.WithRev(-7))
	if r := next(t, bad); r.Err() == nil {
		t.Errorf("a watch from a negative revision: %+v", r)
	}
	cancel()
	closed(t, ch)
	for name, fits := range map[string]func(clientv3.WatchInfo) bool{
		"begun":     func(w clientv3.WatchInfo) bool { return w.Key == "hooks" && !w.Ended },
		"cancelled": func(w clientv3.WatchInfo) bool { return w.Key == "hooks" && w.Ended && w.Err == nil },
		"failed":    func(w clientv3.WatchInfo) bool { return w.Key == "hooks" && w.Ended && w.Err != nil },
	} {
		await(t, "a watch is reported as "+name, has(r, &r.watches, fits))
	}
}

// Requests sent twice and repeated ones are distinguished.
func TestHooksSeeEveryAttempt(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	r := &recorder{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: r.hooks()})
	for range 30 { // until the client knows how fast each member is
		if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
			t.Fatal(err)
		}
	}
	followers := cl.Followers(t) // without them the leader steps down after a while
	for _, m := range followers {
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	hedged := has(r, &r.attempts, func(a clientv3.AttemptInfo) bool { return a.Hedge })
	await(t, "a read is sent twice", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _ = c.Get(ctx, "k") // there is no quorum; it fails
		return hedged()
	})
	for _, m := range followers {
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

// The whole cluster is away for longer than a lease lives. Its new leader gives the
// lease its full time again; the client, which has declared it lost, revokes it.
func TestLostLeaseIsRevoked(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	r := &recorder{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: r.hooks()})
	ctx := ctxFor(t, 3*long)
	g, err := c.Grant(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, "owned", "v", clientv3.WithLease(g.ID)); err != nil {
		t.Fatal(err)
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	m := cl.Members()[0]
	m.Kill()
	ends(t, ch)
	await(t, "the loss is reported", has(r, &r.leases, func(l clientv3.LeaseInfo) bool {
		return l.ID == g.ID && l.Event == clientv3.LeaseLost && l.Reason == "unrenewed"
	}))
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	await(t, "the lease is revoked", has(r, &r.attempts, func(a clientv3.AttemptInfo) bool {
		return a.Method == "Lease.LeaseRevoke" && a.Err == nil
	}))
	if got, err := c.Get(ctx, "owned"); err != nil || got.Count != 0 {
		t.Errorf("the key of the lost lease: %v, %v", got, err)
	}
}

// The member that renewals go to freezes. The hooks report the danger, and later that it has
// passed.
func TestLeaseAtRiskAndRestored(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	r := &recorder{}
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Hooks: r.hooks()})
	ctx := ctxFor(t, 2*long)
	id, _ := keptLease(t, ctx, c, 10)
	on := ""
	await(t, "the stream's member is known", has(r, &r.streams, func(s clientv3.StreamInfo) bool {
		if s.Service == "Lease" && !s.Ended {
			on = s.Member
		}
		return on != ""
	}))
	for _, m := range cl.Members() {
		if m.Endpoint != on {
			continue
		}
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		defer m.Thaw()
	}
	for _, e := range []clientv3.LeaseEvent{clientv3.LeaseAtRisk, clientv3.LeaseRestored} {
		await(
			t,
			"the lease is "+e.String(),
			has(r, &r.leases, func(l clientv3.LeaseInfo) bool { return l.ID == id && l.Event == e }),
		)
	}
	if has(r, &r.leases, func(l clientv3.LeaseInfo) bool { return l.Event == clientv3.LeaseLost })() {
		t.Error("the lease was lost")
	}
}
