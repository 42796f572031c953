package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

const (
	// perClient registrars share a client and its way to etcd, so they return together.
	perClient = 100
	// registering is how many instances register at a time at the start.
	registering = 64
	// whole bounds how long it may take until all are back.
	whole = 2 * time.Minute
)

// data says what happens to etcd's data in an outage.
type data int

const (
	kept data = iota
	wiped
	restored // to its state at the first outage
)

// mostWrites is how many writes a second those that return may make.
const mostWrites = 2000

// herd is many registrars, each with a lease of its own, and two views: one reaches etcd as soon
// as that is back, the other comes back last.
type herd struct {
	cluster   *etcdtest.Cluster
	ttl       time.Duration
	n         int
	draw      *rand.Rand
	direct    *clientv3.Client
	ways      []*faultnet.Proxy // the last one belongs to the second view
	views     [2]*view
	closers   []func() error
	backup    string // of etcd's data at the first outage
	backupRev int64
}

// view counts the instances that leave a subscription.
type view struct {
	sub  *discovery.Subscription
	left atomic.Int64
}

// outages has a herd go through outages below, at and above the TTL, a wipe and a restored backup.
func outages(n int, ttl time.Duration, seed uint64) error {
	cluster, err := etcdtest.StartMain(etcdtest.Options{})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	h := &herd{cluster: cluster, ttl: ttl, n: n, draw: rand.New(rand.NewPCG(seed, 0))}
	defer h.close()
	if err := h.register(); err != nil {
		return err
	}
	fmt.Printf(
		"etcd %s, %d registrars with a TTL of %v, seed %d; they return one after the other within %v\n",
		cluster.Version(),
		n,
		ttl,
		seed,
		ttl/3,
	)
	fmt.Printf(
		"%-24s %10s %10s %10s %12s %14s %14s\n",
		"etcd away for",
		"left view",
		"left late",
		"vanished",
		"all back",
		"not stale",
		"writes/s, most",
	)
	fmt.Printf("%-24s %10d %10d %10s %12s %14s %14d\n", "bar", 0, 0, "", "", "", mostWrites)
	if h.backup, err = os.MkdirTemp("", "fairlead-outage-"); err != nil {
		return err
	}
	defer os.RemoveAll(h.backup)
	bad, busy := int64(0), false
	for _, o := range []struct {
		away time.Duration
		data data
	}{{ttl / 2, kept}, {ttl * 9 / 10, kept}, {ttl, kept}, {ttl * 11 / 10, kept}, {2 * ttl, kept}, {ttl, wiped}, {
		ttl, restored,
	}} {
		left, writes, err := h.outage(o.away, o.data)
		if err != nil {
			return fmt.Errorf("away for %v: %w", o.away, err)
		}
		bad += left
		busy = busy || writes >= mostWrites
	}
	if busy {
		return fmt.Errorf("etcd had %d writes a second and more", mostWrites)
	}
	if bad > 0 {
		return fmt.Errorf("%d times an instance that lives left a view", bad)
	}
	return nil
}

func (h *herd) dial(endpoint string) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err == nil {
		h.closers = append(h.closers, c.Close)
	}
	return c, err
}

func (h *herd) close() {
	for i := len(h.closers) - 1; i >= 0; i-- {
		_ = h.closers[i]()
	}
}

// way makes a client with its own way to etcd.
func (h *herd) way() (*clientv3.Client, error) {
	p, err := faultnet.New(strings.TrimPrefix(h.cluster.Endpoints()[0], "http://"))
	if err != nil {
		return nil, err
	}
	h.ways = append(h.ways, p)
	h.closers = append(h.closers, p.Close)
	return h.dial(p.Addr())
}

// register registers all instances, and waits until the views are complete.
func (h *herd) register() error {
	ctx, cancel := context.WithTimeout(context.Background(), whole)
	defer cancel()
	var rs []*discovery.Registrar
	for len(rs) < h.n {
		c, err := h.way()
		if err != nil {
			return err
		}
		for range min(perClient, h.n-len(rs)) {
			rs = append(rs, discovery.NewRegistrar(c, discovery.WithTTL(int64(h.ttl/time.Second))))
		}
	}
	h.closers = append(h.closers, func() error { // together with the cluster: nobody waits for removals
		var all sync.WaitGroup
		for _, r := range rs {
			all.Go(func() { _ = r.Close() })
		}
		all.Wait()
		return nil
	})
	next := make(chan int)
	errs := make(chan error, registering)
	for range registering {
		go func() {
			for i := range next {
				in := discovery.Instance{Service: service, ID: fmt.Sprint(i), Addresses: []string{"10.0.0.1:80"}}
				if _, err := rs[i].Register(ctx, in); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for i := range h.n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	var err error
	for range registering {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	last, err := h.way()
	if err != nil {
		return err
	}
	if h.direct, err = h.dial(h.cluster.Endpoints()[0]); err != nil {
		return err
	}
	for i, c := range []*clientv3.Client{h.direct, last} {
		if err := h.follow(i, c); err != nil {
			return err
		}
	}
	return await(ctx, func() bool { return h.right() })
}

// follow begins a view and counts the instances that leave it.
func (h *herd) follow(i int, c *clientv3.Client) error {
	d := discovery.NewDirectory(c, discovery.WithLog(slog.New(slog.DiscardHandler)), discovery.WithReturnHold(h.ttl))
	sub, err := d.Subscribe(service)
	if err != nil {
		return err
	}
	v := &view{sub: sub}
	h.views[i] = v
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			ch, err := sub.Next(context.Background())
			if err != nil {
				return // closed
			}
			v.left.Add(int64(len(ch.Removed)))
		}
	}()
	h.closers = append(h.closers, func() error { err := d.Close(); <-ended; return err })
	return nil
}

// right reports whether both views have all instances and are not stale.
func (h *herd) right() bool {
	for _, v := range h.views {
		if view := v.sub.View(); view == nil || view.Len() != h.n || v.sub.Status().Stale {
			return false
		}
	}
	return true
}

// outage makes one outage and prints its line. It returns how often an instance left a view, and
// the most writes in a second.
func (h *herd) outage(away time.Duration, d data) (left, most int64, err error) {
	m := h.cluster.Members()[0]
	before, err := h.newest()
	if err != nil {
		return 0, 0, err
	}
	for _, v := range h.views {
		v.left.Store(0)
	}
	m.Kill()
	for _, p := range h.ways {
		p.Refuse()
		p.Cut()
	}
	time.Sleep(away)
	name := away.String()
	if before, err = h.change(m, d, before); err != nil {
		return 0, 0, err
	}
	name += d.String()
	ctx, cancel := context.WithTimeout(context.Background(), whole)
	defer cancel()
	if err := m.Restart(); err != nil {
		return 0, 0, err
	}
	if err := m.WaitReady(ctx); err != nil {
		return 0, 0, err
	}
	back := time.Now()
	var all sync.WaitGroup
	defer all.Wait()
	for i, p := range h.ways {
		after := time.Duration(h.draw.Int64N(int64(h.ttl / 3)))
		if i == len(h.ways)-1 {
			after = h.ttl / 3
		}
		all.Go(func() {
			time.Sleep(time.Until(back.Add(after)))
			_ = p.Heal()
		})
	}
	wctx, stop := context.WithCancel(ctx)
	writes := h.writes(wctx)
	there, err := h.registered(ctx)
	if err == nil && !within(ctx, h.right) {
		err = errors.New("the views are not right")
	}
	fresh := time.Since(back)
	// By now a lease that was not renewed expires.
	time.Sleep(time.Until(back.Add(h.ttl + 2*time.Second)))
	stop()
	a, b := h.views[0].left.Load(), h.views[1].left.Load()
	vanished := int64(h.n) // all, if etcd is wiped
	if d != wiped && err == nil {
		vanished, err = h.since(ctx, before)
	}
	most = <-writes
	fmt.Printf(
		"%-24s %10d %10d %10d %12v %14v %14d\n",
		name,
		a,
		b,
		vanished,
		there.Sub(back).Round(10*time.Millisecond),
		fresh.Round(10*time.Millisecond),
		most,
	)
	return a + b, most, err
}

func (d data) String() string {
	return [...]string{"", ", and wiped", ", and restored"}[d]
}

// change wipes or restores etcd's data as d says, while etcd is away. The first time it keeps a
// backup. It returns the revision that etcd will have.
func (h *herd) change(m *etcdtest.Member, d data, rev int64) (int64, error) {
	if h.backupRev == 0 {
		h.backupRev = rev
		if err := os.CopyFS(h.backup, os.DirFS(m.DataDir)); err != nil {
			return 0, err
		}
	}
	if d == kept {
		return rev, nil
	}
	if err := os.RemoveAll(m.DataDir); err != nil || d == wiped {
		return 0, err
	}
	return h.backupRev, os.CopyFS(m.DataDir, os.DirFS(h.backup))
}

// newest is the store's revision.
func (h *herd) newest() (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := h.direct.Get(ctx, "k", clientv3.WithSerializable())
	if err != nil {
		return 0, err
	}
	return r.Header.Revision, nil
}

// since counts the records that were created after rev: they had vanished.
func (h *herd) since(ctx context.Context, rev int64) (int64, error) {
	prefix := discovery.JSON{}.Prefix(service)
	r, err := h.direct.Get(
		ctx,
		prefix,
		clientv3.WithPrefix(),
		clientv3.WithKeysOnly(),
		clientv3.WithMinCreateRev(rev+1),
	)
	if err != nil {
		return 0, err
	}
	return int64(len(r.Kvs)), nil
}

// within waits until ok returns true or ctx ends.
func within(ctx context.Context, ok func() bool) bool {
	for !ok() {
		if await(ctx, ok) != nil && ctx.Err() != nil {
			return false
		}
	}
	return true
}

// registered waits until all records are there.
func (h *herd) registered(ctx context.Context) (time.Time, error) {
	prefix := discovery.JSON{}.Prefix(service)
	for {
		r, err := h.direct.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		switch {
		case ctx.Err() != nil:
			return time.Time{}, ctx.Err()
		case err == nil && r.Count == int64(h.n):
			return time.Now(), nil
		}
		time.Sleep(50 * time.Millisecond) // there is nothing to wait on
	}
}

// writes sends, when ctx ends, the most revisions that the store has made in a second.
func (h *herd) writes(ctx context.Context) <-chan int64 {
	most := make(chan int64, 1)
	go func() {
		best, before, at := int64(0), int64(0), time.Now()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				most <- best
				return
			}
			r, err := h.direct.Get(ctx, "k", clientv3.WithSerializable())
			if err != nil {
				continue
			}
			now := time.Now()
			if now.Sub(at) < time.Second/2 {
				continue // the last answer came late, so the time is too short for these writes
			}
			if before > 0 && r.Header.Revision > before {
				best = max(best, int64(float64(r.Header.Revision-before)/now.Sub(at).Seconds()))
			}
			before, at = r.Header.Revision, now
		}
	}()
	return most
}
