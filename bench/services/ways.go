package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/lb"
	"github.com/go-kit/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
)

const (
	// attempt is the timeout after which a call goes on elsewhere.
	attempt = time.Second
	// callLimit is the timeout of a call.
	callLimit = 5 * time.Second
	lease     = discovery.DefaultTTL * time.Second
	dnsTTL    = 2 * time.Second
)

// way is one way to register and to call.
type way struct {
	name     string
	kind     string // of the instances, see serve
	run      bool   // fairlead run starts them
	together int    // how many are restarted at a time
	// late is how long calls may fail after an instance died.
	late time.Duration
	// attempts means that each attempt of a call has a timeout.
	attempts bool
	dial     func(c *clientv3.Client, endpoint, service string, p *programs) (*caller, error)
}

var ways = []*way{
	{name: "grpc", kind: "grpc", together: 1, attempts: true, dial: dialGRPC},
	{name: "http", kind: "http", together: 1, attempts: true, dial: dialHTTP},
	{name: "gokit", kind: "gokit", together: 1, dial: dialGoKit},
	// The extra second is what the whole seconds of an answer hide.
	{name: "dns", kind: "plain", run: true, together: 5, late: lease + dnsTTL + time.Second, dial: dialDNS},
}

// service returns the name of the service that the instances offer.
func (w *way) service() string { return "orders-" + w.name }

func goKitPrefix(service string) string { return "/services/" + service + "/" }

// caller calls an instance.
type caller struct {
	call  func(ctx context.Context, idempotent bool) error
	known func() int // instances
	close func()
}

// directory makes a directory, and returns it with a function that counts its instances.
func directory(c *clientv3.Client, service string) (*discovery.Directory, func() int, error) {
	d := discovery.NewDirectory(
		c,
		discovery.WithAnnounce("caller of "+service),
		discovery.WithLog(slog.New(slog.DiscardHandler)),
	)
	sub, err := d.Subscribe(service)
	if err != nil {
		return nil, nil, err
	}
	var n atomic.Int64
	go func() { // until the directory is closed
		for {
			change, err := sub.Next(context.Background())
			if err != nil {
				return
			}
			n.Store(int64(change.View.Len() - change.View.Draining()))
		}
	}()
	return d, func() int { return int(n.Load()) }, nil
}

func dialGRPC(c *clientv3.Client, _, service string, _ *programs) (*caller, error) {
	d, known, err := directory(c, service)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(
		"etcd:///"+service,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithResolvers(
			grpcdisc.NewBuilder(d),
		),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"fairlead_p2c":{}}]}`),
		grpc.WithUnaryInterceptor(
			grpcdisc.NewInterceptor(
				grpcdisc.WithAttemptTimeout(attempt),
				grpcdisc.WithIdempotent(grpc_health_v1.Health_Check_FullMethodName),
			),
		),
	)
	if err != nil {
		return nil, err
	}
	h := grpc_health_v1.NewHealthClient(conn)
	return &caller{
		call: func(ctx context.Context, idempotent bool) (err error) {
			if idempotent {
				_, err = h.Check(ctx, new(grpc_health_v1.HealthCheckRequest))
			} else {
				_, err = h.List(ctx, new(grpc_health_v1.HealthListRequest))
			}
			return err
		},
		known: known,
		close: func() { conn.Close(); d.Close() },
	}, nil
}

func dialHTTP(c *clientv3.Client, _, service string, _ *programs) (*caller, error) {
	d, known, err := directory(c, service)
	if err != nil {
		return nil, err
	}
	t := httpdisc.New(d, httpdisc.WithAttemptTimeout(attempt))
	client := &http.Client{Transport: t}
	return &caller{
		call: func(ctx context.Context, idempotent bool) error {
			method := http.MethodPost
			if idempotent {
				method = http.MethodGet
			}
			return request(ctx, client, method, "http://"+service+"/")
		},
		known: known,
		close: func() { t.Close(); d.Close() },
	}, nil
}

func request(ctx context.Context, client *http.Client, method, url string) error {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// plainClient is the client of programs that know nothing of Fairlead.
func plainClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	return &http.Client{Transport: t}
}

// dialGoKit calls as go-kit's documentation does: an endpointer, a balancer and retries.
func dialGoKit(_ *clientv3.Client, etcd, service string, _ *programs) (*caller, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c, err := etcdv3.NewClient(ctx, []string{etcd}, etcdv3.ClientOptions{})
	if err != nil {
		cancel()
		return nil, err
	}
	i, err := etcdv3.NewInstancer(c, goKitPrefix(service), log.NewNopLogger())
	if err != nil {
		cancel()
		return nil, err
	}
	client := plainClient()
	e := sd.NewEndpointer(i, func(url string) (endpoint.Endpoint, io.Closer, error) {
		return func(ctx context.Context, _ any) (any, error) {
			ctx, cancel := context.WithTimeout(ctx, attempt)
			defer cancel()
			return nil, request(ctx, client, http.MethodGet, url)
		}, nil, nil
	}, log.NewNopLogger())
	retry := lb.Retry(3, callLimit, lb.NewRoundRobin(e))
	return &caller{
		call: func(ctx context.Context, _ bool) error { _, err := retry(ctx, nil); return err },
		known: func() int {
			list, err := e.Endpoints()
			if err != nil {
				return 0
			}
			return len(list)
		},
		close: func() { e.Close(); i.Stop(); client.CloseIdleConnections(); cancel() },
	}, nil
}
