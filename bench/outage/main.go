// Outage shows how services fare while etcd is away: HTTP servers are registered, a client calls
// them by name, and etcd is killed and comes back.
//
//	go run ./outage                  # away for a minute
//	go run ./outage -away 10s
//	go run ./outage -registrars 10000 -ttl 10s
//
// It prints how many calls failed, and how long after etcd's return the view was right again:
// while etcd was away one server ended and another one started. With -registrars there are that
// many instances instead. They come back in a random order from outages below, at and above the
// TTL, and from a wiped and a restored etcd. It then prints how many instances left a view
// although they are alive (if any did, it fails), when all records were back, when the views were
// no longer stale, and how many writes etcd had (at 2,000 a second it fails).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	service = "orders"
	servers = 3
	every   = 10 * time.Millisecond
	// patience bounds each step except the outage.
	patience = 30 * time.Second
)

func main() {
	away := flag.Duration("away", time.Minute, "how long etcd is away")
	registrars := flag.Int("registrars", 0, "how many come back in a drawn order; 0: the other report")
	ttl := flag.Duration("ttl", discovery.DefaultTTL*time.Second, "of their leases")
	seed := flag.Uint64("seed", 1, "of the order in which they come back")
	flag.Parse()
	report := func() error { return run(*away) }
	if *registrars > 0 {
		report = func() error { return outages(*registrars, *ttl, *seed) }
	}
	if err := report(); err != nil {
		fmt.Fprintln(os.Stderr, "outage:", err)
		os.Exit(1)
	}
}

func run(away time.Duration) error {
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
	ctx, cancel := context.WithTimeout(context.Background(), away+4*patience)
	defer cancel()
	var regs []*discovery.Registration
	for i := range servers {
		// Each server has a registrar, as a process of its own would have.
		r := discovery.NewRegistrar(c, discovery.WithTTL(5))
		defer r.Close()
		g, stop, err := serve(ctx, r, i)
		if err != nil {
			return err
		}
		defer stop()
		regs = append(regs, g)
	}
	d := discovery.NewDirectory(c, discovery.WithLog(slog.New(slog.DiscardHandler)))
	defer d.Close()
	sub, err := d.Subscribe(service)
	if err != nil {
		return err
	}
	defer sub.Close()
	if err := await(ctx, func() bool { v := sub.View(); return v != nil && v.Len() == servers }); err != nil {
		return err
	}
	t := httpdisc.New(d)
	defer t.Close()
	calls := &caller{client: &http.Client{Transport: t, Timeout: time.Second}}
	stopCalls := calls.start(ctx)
	defer stopCalls()

	member := cluster.Members()[0]
	member.Kill()
	began := time.Now()
	time.Sleep(away / 2)
	// Meanwhile one server ends and one starts.
	go func() { _ = regs[0].Close(ctx) }() // when etcd is back
	late := discovery.NewRegistrar(c, discovery.WithTTL(5))
	defer late.Close()
	registered := make(chan error, 1)
	go func() {
		_, stop, err := serve(ctx, late, servers)
		registered <- err
		if err == nil {
			<-ctx.Done()
			stop()
		}
	}()
	defer cancel()
	time.Sleep(away - time.Since(began))
	stale := sub.Status()
	if err := member.Restart(); err != nil {
		return err
	}
	if err := member.WaitReady(ctx); err != nil {
		return err
	}
	back := time.Now()
	right := func() bool {
		v := sub.View()
		return v.Len() == servers && v.Get("0") == nil && v.Get(fmt.Sprint(servers)) != nil && !sub.Status().Stale
	}
	if err := await(ctx, right); err != nil {
		return fmt.Errorf("the view has %d instances: %w", sub.View().Len(), err)
	}
	took := time.Since(back)
	if err := <-registered; err != nil {
		return err
	}
	stopCalls()
	fmt.Printf("etcd %s away for %v\n", cluster.Version(), away)
	fmt.Printf("calls                      %d\n", calls.done.Load())
	fmt.Printf("calls that failed          %d\n", calls.failed.Load())
	fmt.Printf(
		"view at the end            stale: %t, as of %v before\n",
		stale.Stale,
		stale.Age.Round(100*time.Millisecond),
	)
	fmt.Printf("view right after           %v\n", took.Round(time.Millisecond))
	return nil
}

// serve starts a server and registers it.
func serve(ctx context.Context, r *discovery.Registrar, id int) (*discovery.Registration, func(), error) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, id) }))
	g, err := r.Register(ctx, discovery.Instance{Service: service, ID: fmt.Sprint(id), Addresses: []string{s.URL}})
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return g, s.Close, nil
}

func await(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// caller calls the service at a steady rate.
type caller struct {
	client       *http.Client
	done, failed atomic.Int64
}

func (c *caller) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				wg.Go(c.call)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (c *caller) call() {
	c.done.Add(1)
	resp, err := c.client.Get("http://" + service + "/")
	if err != nil {
		c.failed.Add(1)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.failed.Add(1)
	}
}
