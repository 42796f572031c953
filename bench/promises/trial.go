package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	official "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// trial is one measurement of one row. Its clusters and clients end with it, in the reverse order
// of their creation.
type trial struct {
	result  *result
	did     string // the conditions of the figures that follow
	closers []func() error
}

func (t *trial) end() {
	for _, f := range slices.Backward(t.closers) {
		_ = f() // an official client's context was cancelled, or a process is gone: both are wanted
	}
}

func (t *trial) later(f func() error) { t.closers = append(t.closers, f) }

// under names the conditions of the figures that follow.
func (t *trial) under(format string, args ...any) { t.did = fmt.Sprintf(format, args...) }

func (t *trial) cluster(o etcdtest.Options) (*etcdtest.Cluster, error) {
	c, err := etcdtest.StartMain(o)
	if err == nil {
		t.later(c.Stop)
	}
	return c, err
}

// one is a cluster of one member behind a proxy, a client of it, and a client that bypasses the
// proxy.
type one struct {
	m         *etcdtest.Member
	c, direct *ours.Client
}

func (t *trial) one(hooks ours.Hooks) (*one, error) {
	cl, err := t.cluster(etcdtest.Options{Proxied: true})
	if err != nil {
		return nil, err
	}
	o := &one{m: cl.Members()[0]}
	if o.c, err = t.ours(ours.Config{Endpoints: cl.Endpoints(), Hooks: hooks}); err != nil {
		return nil, err
	}
	o.direct, err = t.ours(ours.Config{Endpoints: []string{o.m.Direct}})
	return o, err
}

// ours makes a client with its defaults, except for what cfg sets.
func (t *trial) ours(cfg ours.Config) (*ours.Client, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	c, err := ours.New(cfg)
	if err == nil {
		t.later(c.Close)
	}
	return c, err
}

// official does the same with the official client.
func (t *trial) official(cfg official.Config) (*official.Client, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	c, err := official.New(cfg)
	if err == nil {
		t.later(c.Close)
	}
	return c, err
}

// wires counts the requests and streams that a client sends, repetitions included, by the full
// names of their methods.
type wires struct {
	mu    sync.Mutex
	count map[string]int // guarded by mu
}

func (w *wires) option() grpc.DialOption {
	w.count = make(map[string]int)
	return grpc.WithStatsHandler(w)
}

func (w *wires) of(method string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count[method]
}

// TagRPC implements stats.Handler; gRPC calls it once for each attempt.
func (w *wires) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count[info.FullMethodName]++
	return ctx
}

// HandleRPC implements stats.Handler.
func (w *wires) HandleRPC(context.Context, stats.RPCStats) {}

// TagConn implements stats.Handler.
func (w *wires) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (w *wires) HandleConn(context.Context, stats.ConnStats) {}

// within waits for a condition that has no channel to wait on, and reports whether it came true.
func within(ctx context.Context, d time.Duration, cond func() bool) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit.C:
			return cond()
		case <-ctx.Done():
			return cond()
		}
	}
	return true
}

// receive returns the next value of a channel; ok is false if it was closed.
func receive[T any](ctx context.Context, ch <-chan T, d time.Duration) (v T, ok bool, err error) {
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case v, ok = <-ch:
		return v, ok, nil
	case <-limit.C:
		return v, false, errSilent
	case <-ctx.Done():
		return v, false, ctx.Err()
	}
}

var errSilent = errors.New("nothing arrived")

// each makes n calls at once and returns their errors.
func each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// patience is longer than anything takes that has no promise of its own.
const patience = 20 * time.Second
