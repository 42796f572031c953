package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

const (
	// work is how long an instance takes for a call.
	work = 20 * time.Millisecond
	// leaving bounds how long an instance takes to end.
	leaving = 10 * time.Second
)

// serve is an instance as the documentation for users shows it: it registers once it serves, and
// when asked to end it drains first. A plain one is registered by fairlead run.
func serve(kind, endpoint, service, address, id string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: http.HandlerFunc(answer)}
	end := func(ctx context.Context) error { return web.Shutdown(ctx) }
	if kind == "grpc" {
		s := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(s, &worker{})
		go s.Serve(l)
		end = func(context.Context) error { s.GracefulStop(); return nil }
	} else {
		go web.Serve(l)
	}
	leave := func(context.Context) error { return nil }
	switch kind {
	case "grpc", "http":
		leave, err = register(ctx, endpoint, service, address, id)
	case "gokit":
		leave, err = registerGoKit(ctx, endpoint, service, address, id)
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	bounded, cancel := context.WithTimeout(context.Background(), 2*leaving)
	defer cancel()
	return errors.Join(leave(bounded), end(bounded))
}

func register(
	ctx context.Context,
	endpoint, service, address, id string,
) (leave func(context.Context) error, err error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	r := discovery.NewRegistrar(c)
	g, err := r.Register(ctx, discovery.Instance{Service: service, ID: id, Addresses: []string{address}})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return g.Drain(ctx, leaving) }, nil
}

func registerGoKit(
	ctx context.Context,
	endpoint, service, address, id string,
) (leave func(context.Context) error, err error) {
	c, err := etcdv3.NewClient(context.WithoutCancel(ctx), []string{endpoint}, etcdv3.ClientOptions{})
	if err != nil {
		return nil, err
	}
	r := etcdv3.NewRegistrar(
		c,
		etcdv3.Service{Key: goKitPrefix(service) + id, Value: "http://" + address},
		log.NewNopLogger(),
	)
	r.Register()
	return func(context.Context) error { r.Deregister(); return nil }, nil
}

// answer works for a while, or names its process at once.
func answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/process" {
		time.Sleep(work)
	}
	fmt.Fprint(w, os.Getpid())
}

// worker has two methods of the health service; one of them is called as idempotent.
type worker struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (*worker) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	time.Sleep(work)
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func (*worker) List(context.Context, *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	time.Sleep(work)
	return &grpc_health_v1.HealthListResponse{}, nil
}
