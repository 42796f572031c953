package xds

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	api "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/config"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// idleAfter is how long nobody must have asked for a service before it is dropped.
	idleAfter = 5 * time.Minute
	lookEvery = 30 * time.Second
	// loadWithin is how long a client that knows nothing waits for a service, counted from the
	// first request for the service.
	loadWithin = 2 * time.Second
	// deniedEvery is how often to check whether etcd denies access to a service.
	deniedEvery = time.Second
	// mostServices bounds the services that clients can cause to be followed: each costs etcd a
	// watch.
	mostServices = 1000
	// DefaultMaxStreams is far more than the clients of a host need, and takes some hundred MiB.
	DefaultMaxStreams = 4096
	// mostNames bounds the names in a client's subscription to one kind.
	mostNames = 10_000
	// mostBytes bounds a request; one with mostNames names is well below.
	mostBytes = 4 << 20
	// window is how much of a client's requests waits in memory while the client reads no answers.
	// It is gRPC's least; without it, windows grow to 16 MiB with what clients send.
	window = 64 << 10
)

// Server is a control plane. It serves xDS on the gRPC servers that it is registered with. Its
// methods are safe for concurrent use.
type Server struct {
	directory *discovery.Directory
	always    []string
	log       func(string)
	group     *worker.Group
	caches    [kinds]*cache.LinearCache
	empty     [kinds]*cache.LinearCache // for subscriptions to all of a kind that is served only by name
	sotw      sotw.Server
	delta     delta.Server
	streams   atomic.Int64
	most      int64 // of them

	mu     sync.Mutex
	byName map[string]*service
}

// Option changes how a Server works.
type Option func(*Server)

// WithServices follows services all the time. A client that asks for all clusters, as Envoy does,
// then gets their clusters too. Otherwise it gets only those that some client has asked for by
// name.
func WithServices(names ...string) Option {
	return func(s *Server) { s.always = append(s.always, names...) }
}

// WithMaxStreams bounds the streams of all clients together; [DefaultMaxStreams] by default. Each
// stream takes some 36 KiB. A further stream is refused as ResourceExhausted, and its client tries
// again later.
func WithMaxStreams(n int) Option { return func(s *Server) { s.most = int64(n) } }

// WithLog passes lines about what goes wrong to say, from any goroutine. By default, and with nil,
// they are dropped.
func WithLog(say func(string)) Option {
	return func(s *Server) {
		if say == nil {
			say = func(string) {}
		}
		s.log = say
	}
}

// New makes a server that follows services in a directory. [Server.Close] ends it, and leaves the
// directory open. The error wraps [discovery.ErrInvalid] if an argument makes no sense.
func New(d *discovery.Directory, opts ...Option) (*Server, error) {
	if d == nil {
		return nil, fmt.Errorf("%w: the directory is nil", discovery.ErrInvalid)
	}
	s := &Server{
		directory: d,
		log:       func(string) {},
		group:     worker.New(context.Background()),
		byName:    make(map[string]*service),
		most:      DefaultMaxStreams,
	}
	for _, o := range opts {
		if o == nil {
			return nil, fmt.Errorf("%w: an option is nil", discovery.ErrInvalid)
		}
		o(s)
	}
	if s.most < 1 {
		return nil, fmt.Errorf("%w: at most %d streams", discovery.ErrInvalid, s.most)
	}
	// Versions of one process must mean nothing to the next one.
	prefix := cache.WithVersionPrefix(rand.Text()[:8] + ".")
	quiet := cache.WithLogger(silent{})
	for k, url := range typeURLs {
		s.caches[k] = cache.NewLinearCache(url, prefix, quiet)
		s.empty[k] = cache.NewLinearCache(url, prefix, quiet)
	}
	hooks := hooks{s}
	s.sotw = sotw.NewServer(s.group.Context(), watcher{s}, hooks, sotw.WithOrderedADS(), sotw.WithLogger(silent{}))
	s.delta = delta.NewServer(s.group.Context(), watcher{s}, hooks, func(o *config.Opts) { o.Logger = silent{} })
	for _, name := range s.always {
		if _, err := s.at(name); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.group.Go(s.look)
	return s, nil
}

// ServerOptions are options for a [grpc.Server] that serves xDS to many clients, some of which may
// be slow, idle or hostile.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(mostBytes), grpc.MaxConcurrentStreams(100), grpc.ConnectionTimeout(10 * time.Second),
		grpc.ReadBufferSize(4 << 10), grpc.WriteBufferSize(4 << 10),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		grpc.KeepaliveEnforcementPolicy(
			keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true},
		),
		grpc.KeepaliveParams(
			keepalive.ServerParameters{
				MaxConnectionIdle: 5 * time.Minute,
				Time:              time.Minute,
				Timeout:           20 * time.Second,
			},
		),
	}
}

// Register registers the xDS service with a gRPC server. The caller decides who may connect to it.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	api.RegisterAggregatedDiscoveryServiceServer(r, aggregated{s})
}

// Close ends all streams. It returns when no service is followed any more.
func (s *Server) Close() {
	s.group.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.byName {
		one.sub.Close()
	}
}

// Streams returns how many streams of clients are open.
func (s *Server) Streams() int { return int(s.streams.Load()) }

// Services adds the services that are followed to a map, by name.
func (s *Server) Services(all map[string]*discovery.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, one := range s.byName {
		all[name] = one.sub
	}
}

func (s *Server) say(format string, args ...any) { s.log(fmt.Sprintf(format, args...)) }

// aggregated is the service of the protocol.
type aggregated struct{ s *Server }

// StreamAggregatedResources serves the state of the world.
func (a aggregated) StreamAggregatedResources(
	stream api.AggregatedDiscoveryService_StreamAggregatedResourcesServer,
) error {
	return a.s.sotw.StreamHandler(stream, resource.AnyType)
}

// DeltaAggregatedResources serves differences.
func (a aggregated) DeltaAggregatedResources(
	stream api.AggregatedDiscoveryService_DeltaAggregatedResourcesServer,
) error {
	return a.s.delta.DeltaStreamHandler(stream, resource.AnyType)
}

var errBusy = status.Error(codes.ResourceExhausted, "too many services are asked for")

// at starts to follow a service unless it is followed already.
func (s *Server) at(name string) (*service, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if one := s.byName[name]; one != nil {
		one.asked = now
		return one, nil
	}
	if len(s.byName) >= mostServices && !s.makeRoom() {
		return nil, errBusy
	}
	sub, err := s.directory.Subscribe(name)
	if err != nil {
		return nil, err
	}
	one := &service{
		name:   name,
		sub:    sub,
		since:  now,
		asked:  now,
		known:  make(chan struct{}),
		wanted: make(map[discovery.Filter]time.Time),
		led:    make(map[string]led),
	}
	if !s.group.Go(func(ctx context.Context) { s.follow(ctx, one) }) {
		sub.Close()
		return nil, discovery.ErrClosed
	}
	s.byName[name] = one
	return one, nil
}

// makeRoom drops, among the services without instances and without followers, the one whose last
// request is oldest. The caller holds s.mu.
func (s *Server) makeRoom() bool {
	var drop *service
	for _, one := range s.byName {
		if one.waiting == 0 && empty(one) && !s.used(one) && (drop == nil || one.asked.Before(drop.asked)) {
			drop = one
		}
	}
	if drop == nil {
		return false
	}
	s.drop(drop)
	return true
}

func (s *Server) drop(one *service) {
	delete(s.byName, one.name)
	s.forget(one)
}

func empty(one *service) bool {
	v := one.sub.View()
	return v == nil || v.Len() == 0
}

// look drops services that nobody asks for. While etcd is away it keeps what is known, since it
// could not be read again.
func (s *Server) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

func (s *Server) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.always {
		if one := s.byName[name]; one != nil {
			one.asked = now
		}
	}
	for _, one := range s.byName {
		if one.waiting > 0 || s.used(one) {
			one.asked = now
		}
		if now.Sub(one.asked) >= idleAfter && (empty(one) || !one.sub.Status().Stale) {
			s.drop(one)
			continue
		}
		s.tidy(one)
	}
}

// hooks count streams.
type hooks struct{ s *Server }

// open counts a stream, even one that it refuses: the library reports its end too.
func (h hooks) open() error {
	if h.s.streams.Add(1) > h.s.most {
		return status.Error(codes.ResourceExhausted, "xds: there are as many streams as this server takes")
	}
	return nil
}

func (h hooks) OnStreamOpen(context.Context, int64, string) error            { return h.open() }
func (h hooks) OnStreamClosed(int64, *core.Node)                             { h.s.streams.Add(-1) }
func (h hooks) OnDeltaStreamOpen(context.Context, int64, string) error       { return h.open() }
func (h hooks) OnDeltaStreamClosed(int64, *core.Node)                        { h.s.streams.Add(-1) }
func (h hooks) OnStreamRequest(int64, *api.DiscoveryRequest) error           { return nil }
func (h hooks) OnStreamDeltaRequest(int64, *api.DeltaDiscoveryRequest) error { return nil }
func (h hooks) OnStreamResponse(context.Context, int64, *api.DiscoveryRequest, *api.DiscoveryResponse) {
}
func (h hooks) OnStreamDeltaResponse(int64, *api.DeltaDiscoveryRequest, *api.DeltaDiscoveryResponse) {
}

// silent is a logger that drops everything: the library logs each watch.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
