package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	fleetSize = 20
	rate      = 500 // calls per second
	// again bounds the time until all instances are known.
	again = time.Minute
	// slow is the duration from which a call has waited for an instance rather than only for its
	// work.
	slow = attempt * 8 / 10
	// stopped is how long an instance is frozen: shorter than an ejection, longer than its lease.
	stopped = 12 * time.Second
	// heapOf is the number of instances that are measured together.
	heapOf  = 10_000
	heapBar = 1536
)

// trouble is something that happens to a way's instances.
type trouble struct {
	name string
	do   func(ctx context.Context, t *table, s *scene) error
}

// scene is a way with its instances and its caller.
type scene struct {
	*fleet
	*caller
	cluster *etcdtest.Cluster
	client  *clientv3.Client
}

// newScene starts n instances of a way, and waits until the caller knows them all.
func newScene(ctx context.Context, w *way, p *programs, cluster *etcdtest.Cluster, n int) (*scene, error) {
	s := &scene{cluster: cluster}
	etcd := cluster.Endpoints()[0]
	var err error
	if s.client, err = clientv3.New(clientv3.Config{Endpoints: []string{etcd}, Logger: zap.NewNop()}); err != nil {
		return nil, err
	}
	if s.caller, err = w.dial(s.client, etcd, w.service(), p); err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	if s.fleet, err = newFleet(w, p, etcd, n); err == nil {
		err = s.whole(ctx)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *scene) end() {
	s.caller.close()
	if s.fleet != nil {
		s.fleet.close()
	}
	_ = s.client.Close()
}

// whole waits until all instances are known and called.
func (s *scene) whole(ctx context.Context) error {
	err := await(
		ctx,
		again,
		s.way.name+": not all instances are known",
		func() bool { return s.known() == len(s.cmds) },
	)
	if err == nil && s.way.run { // a client that asked before still uses the old answer
		err = pause(ctx, dnsTTL)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// troubled puts a way's instances through troubles, one after the other.
func troubled(t *table, w *way, troubles []trouble) error {
	cluster, err := etcdtest.StartMain(etcdtest.Options{})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	p, err := newPrograms()
	if err != nil {
		return err
	}
	defer p.close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s, err := newScene(ctx, w, p, cluster, fleetSize)
	if err != nil {
		return err
	}
	defer s.end()
	for _, x := range troubles {
		if err := x.do(ctx, t, s); err != nil {
			return fmt.Errorf("%s, %s: %w", x.name, w.name, err)
		}
	}
	return nil
}

// restart ends each instance and starts it again, a few at a time.
func restart(ctx context.Context, t *table, s *scene) error {
	began := time.Now()
	calls := startCalls(s.caller, rate)
	err := s.roll(ctx, t)
	if err == nil {
		err = pause(ctx, attempt)
	}
	l := calls.end()
	if err != nil {
		return err
	}
	n := l.number(failed)
	t.line(fmt.Sprintf("rolling restart of %d, %d calls/s: failed", len(s.cmds), rate), s.way.name,
		fmt.Sprintf("%d of %d in %v", n, len(l), time.Since(began).Round(time.Second)), "0", n == 0)
	t.explain(l, began)
	return nil
}

func (s *scene) roll(ctx context.Context, t *table) error {
	for i := 0; i < len(s.cmds); i += s.way.together {
		at := time.Now()
		var all sync.WaitGroup
		errs := make([]error, s.way.together)
		for k := range errs {
			all.Go(func() {
				if errs[k] = s.fleet.end(i + k); errs[k] == nil {
					errs[k] = s.start(i + k)
				}
			})
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		ended := time.Now()
		if err := s.whole(ctx); err != nil {
			return err
		}
		if t.verbose {
			fmt.Fprintf(
				os.Stderr,
				"  instance %d ended in %v, known again in %v\n",
				i,
				ended.Sub(at).Round(time.Millisecond),
				time.Since(ended).Round(time.Millisecond),
			)
		}
	}
	return nil
}

// kill kills one instance. Only calls that were under way on it may fail, and others until nobody
// knows it any more.
func kill(ctx context.Context, t *table, s *scene) error {
	calls := startCalls(s.caller, rate)
	err := pause(ctx, attempt)
	s.kill(0)
	dead := time.Now()
	if err == nil {
		err = pause(ctx, s.way.late+3*time.Second)
	}
	l := calls.end()
	if err := errors.Join(err, s.start(0), s.whole(ctx)); err != nil {
		return err
	}
	late := func(r result) bool { return failed(r) && r.began.After(dead.Add(s.way.late)) }
	n, bar := l.number(late), "0"
	if s.way.late > 0 {
		bar = fmt.Sprintf("0 later than %v after it", s.way.late)
	}
	t.line(
		"SIGKILL of one: failed, begun after it",
		s.way.name,
		fmt.Sprintf("%d, and %d before, of %d", n, l.number(failed)-n, len(l)),
		bar,
		n == 0,
	)
	t.explain(l, dead)
	return nil
}

// stop freezes one instance. Only calls that began before the first attempt timed out may be slow.
func stop(ctx context.Context, t *table, s *scene) error {
	calls := startCalls(s.caller, rate)
	err := pause(ctx, attempt)
	at := time.Now()
	thaw, ferr := s.freeze(ctx, 1) // instance 0 has only just started
	if err = errors.Join(err, ferr); err == nil {
		err = errors.Join(pause(ctx, stopped), thaw())
	}
	l := calls.end()
	if err := errors.Join(err, s.whole(ctx)); err != nil {
		return err
	}
	idempotent := l.number(func(r result) bool { return failed(r) && r.idempotent })
	others := l.number(failed) - idempotent
	during := func(r result) bool { return r.took > slow && r.began.Before(at.Add(stopped)) }
	all := l.number(during)
	// The first call that waits for the instance shows it. Then it takes a few milliseconds to
	// leave the instance out.
	known := first(l, during).Add(attempt + 100*time.Millisecond)
	late := l.number(func(r result) bool { return during(r) && r.began.After(known) })
	what := fmt.Sprintf("SIGSTOP of one for %v: ", stopped)
	if s.way.attempts {
		t.line(
			what+"failed",
			s.way.name,
			fmt.Sprintf("%d idempotent, %d others of %d", idempotent, others, len(l)),
			"0 idempotent",
			idempotent == 0,
		)
		t.line(
			what+"slow",
			s.way.name,
			fmt.Sprintf("%d, %d of them begun after the first one's timeout", all, late),
			"0 after the first one's timeout",
			late == 0,
		)
	} else {
		t.line(what+"failed", s.way.name, fmt.Sprintf("%d of %d", idempotent+others, len(l)), "", true)
		t.line(what+"slow", s.way.name, fmt.Sprintf("%d, the last began %v after it", all,
			last(l, during).Sub(at).Round(100*time.Millisecond)), "", true)
	}
	t.explain(l, at)
	return nil
}

// first returns when the first call began for which f is true.
func first(l results, f func(result) bool) (at time.Time) {
	for _, r := range l {
		if f(r) && (at.IsZero() || r.began.Before(at)) {
			at = r.began
		}
	}
	return at
}

// last returns when the last call began for which f is true.
func last(l results, f func(result) bool) (at time.Time) {
	for _, r := range l {
		if f(r) && r.began.After(at) {
			at = r.began
		}
	}
	return at
}

// heap measures the memory of a registered instance.
func heap(t *table) error {
	cluster, err := etcdtest.StartMain(etcdtest.Options{})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*again)
	defer cancel()
	r := discovery.NewRegistrar(c, discovery.WithWriteRate(1_000_000))
	defer r.Close()
	one := func(i int) error {
		_, err := r.Register(
			ctx,
			discovery.Instance{
				Service:   "orders",
				ID:        fmt.Sprint(i),
				Addresses: []string{fmt.Sprintf("10.0.%d.%d:80", i/250, i%250)},
			},
		)
		return err
	}
	if err := one(0); err != nil { // what is needed only once
		return err
	}
	before := inUse()
	var all sync.WaitGroup
	errs := make(chan error, heapOf)
	slots := make(chan struct{}, 64)
	for i := 1; i <= heapOf; i++ {
		slots <- struct{}{}
		all.Go(func() { errs <- one(i); <-slots })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	each := (inUse() - before) / heapOf
	t.line(
		fmt.Sprintf("heap of an instance, %d of them", heapOf),
		"discovery.Registrar",
		fmt.Sprintf("%.0f B", each),
		fmt.Sprintf("%d B", heapBar),
		each <= heapBar,
	)
	return nil
}

func inUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
