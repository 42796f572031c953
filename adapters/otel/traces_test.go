package otel_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/adapters/otel"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

var ok = clienttest.OK

// traced is a client whose spans are recorded.
type traced struct {
	t      *testing.T
	cli    *clientv3.Client
	traces *otel.Traces
	tracer trace.Tracer
	spans  *tracetest.SpanRecorder
}

func newTraced(t *testing.T, endpoints []string) *traced {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	traces, err := otel.NewTraces(provider)
	if err != nil {
		t.Fatal(err)
	}
	cli, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, Logger: zap.NewNop(), DialOptions: []grpc.DialOption{traces.DialOption()},
		Hooks: traces.Hooks(clientv3.Hooks{}),
	})
	ok(t, "New", err)
	t.Cleanup(func() { _ = cli.Close() })
	traces.Calls(cli)
	return &traced{t: t, cli: cli, traces: traces, tracer: provider.Tracer("test"), spans: spans}
}

// in runs do in a trace of its own, and returns the other spans of that trace.
func (x *traced) in(do func(ctx context.Context)) []sdktrace.ReadOnlySpan {
	x.t.Helper()
	ctx, span := x.tracer.Start(clienttest.Within(x.t, clienttest.Long), "test")
	do(ctx)
	span.End()
	var all []sdktrace.ReadOnlySpan
	for _, s := range x.spans.Ended() {
		if s.SpanContext().TraceID() == span.SpanContext().TraceID() && s.Name() != "test" {
			all = append(all, s)
		}
	}
	return all
}

func named(spans []sdktrace.ReadOnlySpan, name string) []sdktrace.ReadOnlySpan {
	return slices.DeleteFunc(slices.Clone(spans), func(s sdktrace.ReadOnlySpan) bool { return s.Name() != name })
}

// one returns the only span of a name.
func one(t *testing.T, spans []sdktrace.ReadOnlySpan, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	found := named(spans, name)
	if len(found) != 1 {
		var names []string
		for _, s := range spans {
			names = append(names, s.Name())
		}
		t.Fatalf("%d spans %s among %v", len(found), name, names)
	}
	return found[0]
}

func attr(s sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

func below(child, parent sdktrace.ReadOnlySpan) bool {
	return child.Parent().SpanID() == parent.SpanContext().SpanID()
}

// otlpCollector receives what etcd exports.
type otlpCollector struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans []*otlp.Span
}

func (c *otlpCollector) Export(
	_ context.Context,
	q *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range q.ResourceSpans {
		for _, s := range r.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// below reports whether there is a span of a trace below another one.
func (c *otlpCollector) below(s trace.SpanContext) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.spans, func(found *otlp.Span) bool {
		return hex.EncodeToString(found.TraceId) == s.TraceID().String() &&
			hex.EncodeToString(found.ParentSpanId) == s.SpanID().String()
	})
}

func collect(t *testing.T) (*otlpCollector, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, "Listen", err)
	c, server := new(otlpCollector), grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return c, l.Addr().String()
}

// A call, its attempt, and what etcd does for it make one trace.
func TestOneTraceWithEtcd(t *testing.T) {
	c, address := collect(t)
	cluster := etcdtest.Start(t, etcdtest.Options{Version: "3.7", Args: []string{
		"--enable-distributed-tracing", "--distributed-tracing-address=" + address,
		"--distributed-tracing-sampling-rate=1000000",
	}})
	x := newTraced(t, cluster.Endpoints())
	for method, do := range map[string]func(context.Context) error{
		"Put":   func(ctx context.Context) error { _, err := x.cli.Put(ctx, "a", "1"); return err },
		"Range": func(ctx context.Context) error { _, err := x.cli.Get(ctx, "a"); return err },
		"Txn": func(ctx context.Context) error {
			_, err := x.cli.Txn(ctx).If(clientv3.Compare(clientv3.Value("a"), "=",
				"no")).Else(clientv3.OpGet("a")).Commit()
			return err
		},
	} {
		spans := x.in(func(ctx context.Context) { ok(t, method, do(ctx)) })
		name := method
		if name == "Range" {
			name = "Get"
		}
		call, sent := one(t, spans, "etcd."+name), one(t, spans, "etcdserverpb.KV/"+method)
		if !below(sent, call) || attr(sent, "fairlead.attempt") != "0" || attr(sent, "fairlead.hedge") != "false" ||
			attr(sent, "network.peer.port") == "" {
			t.Errorf("%s: the attempt: %v, below %v", method, sent.Attributes(), sent.Parent().SpanID())
		}
		clienttest.Await(t, "etcd's span of "+method, func() bool { return c.below(sent.SpanContext()) })
	}
}

// A read that is sent to a second member beside a silent one has two attempts; the second is a
// hedge.
func TestHedgeSpans(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	x := newTraced(t, cluster.Endpoints())
	port := ""
	for range 50 { // so that the client knows how long reads take
		spans := x.in(func(ctx context.Context) { _, err := x.cli.Get(ctx, "a"); ok(t, "Get", err) })
		port = attr(named(spans, "etcdserverpb.KV/Range")[0], "network.peer.port")
	}
	m := cluster.Members()[slices.IndexFunc(cluster.Members(), func(m *etcdtest.Member) bool {
		return strings.HasSuffix(m.Endpoint, ":"+port)
	})]
	ok(t, "Freeze", m.Freeze())
	defer m.Thaw()
	clienttest.Await(t, "a hedge", func() bool {
		spans := x.in(func(ctx context.Context) { _, err := x.cli.Get(ctx, "a"); ok(t, "Get", err) })
		call := one(t, spans, "etcd.Get")
		for _, s := range named(spans, "etcdserverpb.KV/Range") {
			if attr(s, "fairlead.hedge") == "true" {
				return below(s, call) && attr(s, "fairlead.attempt") != "0"
			}
		}
		return false
	})
}

// Spans report errors, and leases and the other calls have spans too.
func TestCallSpans(t *testing.T) {
	x := newTraced(t, etcdtest.Shared(t).Endpoints())
	key := t.Name()
	spans := x.in(func(ctx context.Context) {
		g, err := x.cli.Grant(ctx, 60)
		ok(t, "Grant", err)
		_, err = x.cli.Do(ctx, clientv3.OpPut(key, "secret", clientv3.WithLease(g.ID)))
		ok(t, "Do", err)
		_, err = x.cli.KeepAliveOnce(ctx, g.ID)
		ok(t, "KeepAliveOnce", err)
		_, err = x.cli.Delete(ctx, key)
		ok(t, "Delete", err)
		_, err = x.cli.Revoke(ctx, g.ID)
		ok(t, "Revoke", err)
		if _, err := x.cli.Compact(ctx, 1<<50); err == nil {
			t.Error("it compacts the future")
		}
	})
	for _, name := range []string{"Grant", "Put", "KeepAliveOnce", "Delete", "Revoke", "Compact"} {
		if s := one(t, spans, "etcd."+name); (s.Status().Description != "") != (name == "Compact") {
			t.Errorf("%s: %+v", name, s.Status())
		}
	}
	if attr(one(t, spans, "etcd.Put"), "fairlead.key") != key || strings.Contains(fmt.Sprint(spans), "secret") {
		t.Error("the key is missing, or the value is there")
	}
	before := len(x.spans.Started())
	_, err := x.cli.KV.GetStream(clienttest.Within(t, clienttest.Long), key)
	ok(t, "GetStream", err)
	if after := len(x.spans.Started()); after != before {
		t.Error("spans without a trace")
	}
}

// The span of a lock shows how long the caller waited.
func TestLockWaitSpans(t *testing.T) {
	x := newTraced(t, etcdtest.Shared(t).Endpoints())
	session := func() *concurrency.Session {
		s, err := concurrency.NewSession(x.cli)
		ok(t, "NewSession", err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	first, second := concurrency.NewMutex(session(), t.Name()), concurrency.NewMutex(session(), t.Name())
	ok(t, "Lock", first.Lock(clienttest.Within(t, clienttest.Long)))
	const held = 200 * time.Millisecond
	spans := x.in(func(ctx context.Context) {
		time.AfterFunc(held, func() { _ = first.Unlock(context.Background()) })
		ok(t, "Lock", x.traces.Lock(ctx, second))
	})
	s := one(t, spans, "etcd.Lock")
	if took := s.EndTime().Sub(s.StartTime()); took < held || attr(s, "fairlead.key") != second.Key() ||
		attr(s, "fairlead.fence") != fmt.Sprint(second.Fence()) {
		t.Errorf("it took %v: %v", took, s.Attributes())
	}
	ok(t, "Unlock", second.Unlock(clienttest.Within(t, clienttest.Long)))
	e := concurrency.NewElection(session(), t.Name()+"2")
	one(t, x.in(func(ctx context.Context) { ok(t, "Campaign", x.traces.Campaign(ctx, e, "me")) }), "etcd.Campaign")
}

// A watch whose stream breaks has a span for the time without one.
func TestWatchResumeSpans(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	x := newTraced(t, cluster.Endpoints())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events := x.cli.Watch(ctx, "a", clientv3.WithCreatedNotify())
	clienttest.Receive(t, "the watch", events)
	proxy := cluster.Members()[0].Proxy()
	proxy.Cut()
	_, err := clienttest.Dial(t, cluster.Members()[0].Direct).Put(clienttest.Within(t, clienttest.Long), "a", "1")
	ok(t, "Put", err)
	ok(t, "Heal", proxy.Heal())
	clienttest.Receive(t, "the event", events)
	var s sdktrace.ReadOnlySpan
	clienttest.Await(t, "the span", func() bool {
		found := named(x.spans.Ended(), "etcd.Watch resume")
		if len(found) > 0 {
			s = found[0]
		}
		return s != nil
	})
	if attr(s, "fairlead.member") == "" || attr(s, "fairlead.failures") == "0" || len(s.Events()) == 0 ||
		!s.EndTime().After(s.StartTime()) {
		t.Errorf("%v, %v, from %v to %v", s.Attributes(), s.Events(), s.StartTime(), s.EndTime())
	}
}

// Picks, and the attempts of calls to services, belong to the trace of the caller, and so does the
// trace that the service receives.
func TestServiceSpans(t *testing.T) {
	x := newTraced(t, etcdtest.Shared(t).Endpoints())
	parents := make(chan string, 10)
	web := httptest.NewServer(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { parents <- r.Header.Get("Traceparent") }),
	)
	t.Cleanup(web.Close)
	registrar := discovery.NewRegistrar(x.cli)
	t.Cleanup(func() { _ = registrar.Close() })
	in := discovery.Instance{Service: t.Name(), ID: "1", Addresses: []string{strings.TrimPrefix(web.URL, "http://")}}
	_, err := registrar.Register(clienttest.Within(t, clienttest.Long), in)
	ok(t, "Register", err)
	directory := discovery.NewDirectory(x.cli)
	t.Cleanup(func() { _ = directory.Close() })

	base := http.DefaultTransport.(*http.Transport).Clone()
	transport := httpdisc.New(directory,
		httpdisc.WithTransport(func(string) http.RoundTripper { return x.traces.RoundTripper(base) }))
	t.Cleanup(func() { transport.Close(); base.CloseIdleConnections() })
	request := func(ctx context.Context) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Name()+"/", nil)
		ok(t, "NewRequest", err)
		answer, err := (&http.Client{Transport: transport}).Do(req)
		ok(t, "Do", err)
		answer.Body.Close()
	}
	s := one(t, x.in(request), "HTTP GET")
	got := clienttest.Receive(t, "the request", parents)
	if want := fmt.Sprintf("00-%s-%s-01", s.SpanContext().TraceID(), s.SpanContext().SpanID()); got != want {
		t.Errorf("the service got %q, want %q", got, want)
	}
	request(clienttest.Within(t, clienttest.Long))
	if got := clienttest.Receive(t, "the request", parents); got != "" {
		t.Errorf("without a trace the service got %q", got)
	}

	b := pick.New(pick.P2C(), pick.WithWait()) // an update takes effect soon
	t.Cleanup(b.Close)
	b.Update([]*discovery.Instance{&in}, nil)
	spans := x.in(func(ctx context.Context) {
		_, done, err := x.traces.Pick(ctx, b)
		ok(t, "Pick", err)
		done.Report(pick.Success)
	})
	if s := one(t, spans, "discovery.Pick"); attr(s, "fairlead.instance.id") != "1" ||
		attr(s, "fairlead.service") != t.Name() {
		t.Errorf("%v", s.Attributes())
	}
}

// A channel to a service sends traces along and reports failures.
func TestGRPCSpans(t *testing.T) {
	x := newTraced(t, etcdtest.Shared(t).Endpoints())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, "Listen", err)
	got := make(chan []string, 10)
	server := grpc.NewServer(
		grpc.UnaryInterceptor(
			func(ctx context.Context, q any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				got <- append(md.Get("traceparent"), md.Get("mine")...)
				return do(ctx, q)
			},
		),
	)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	conn, err := grpc.NewClient(
		l.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		x.traces.DialOption(),
	)
	ok(t, "NewClient", err)
	t.Cleanup(func() { _ = conn.Close() })
	spans := x.in(func(ctx context.Context) {
		ctx = metadata.AppendToOutgoingContext(ctx, "mine", "1")
		_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
		if clientv3.Code(err) != codes.NotFound && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check: %v", err)
		}
	})
	s := one(t, spans, "grpc.health.v1.Health/Check")
	want := []string{fmt.Sprintf("00-%s-%s-01", s.SpanContext().TraceID(), s.SpanContext().SpanID()), "1"}
	if all := clienttest.Receive(t, "the call", got); !slices.Equal(all, want) {
		t.Errorf("the service got %q, want %q", all, want)
	}
	if s.Status().Description == "" {
		t.Error("the failure is not reported")
	}
}
