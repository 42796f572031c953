package otel

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Attributes of spans, in addition to those of OpenTelemetry's conventions.
const (
	attemptKey  = attribute.Key("fairlead.attempt")     // of a call, from 0
	hedgeKey    = attribute.Key("fairlead.hedge")       // made while another attempt of the call was under way
	keyKey      = attribute.Key("fairlead.key")         // a key of etcd, or the first of a range
	leaseKey    = attribute.Key("fairlead.lease")       // its id
	fenceKey    = attribute.Key("fairlead.fence")       // of a lock or an election
	serviceKey  = attribute.Key("fairlead.service")     // of discovery
	instanceKey = attribute.Key("fairlead.instance.id") // of discovery
	memberKey   = attribute.Key("fairlead.member")      // an endpoint of etcd
	failuresKey = attribute.Key("fairlead.failures")    // of streams, until one was opened again
)

// Traces makes spans of what a client does, and sends traces along to services and to etcd, which
// has spans of its own (--enable-distributed-tracing). Its methods are safe for concurrent use.
//
//	t, err := otel.NewTraces(provider)
//	...
//	cli, err := clientv3.New(clientv3.Config{
//		Endpoints:   endpoints,
//		DialOptions: []grpc.DialOption{t.DialOption()}, // attempts
//		Hooks:       t.Hooks(clientv3.Hooks{}),         // streams that were broken
//	})
//	t.Calls(cli) // calls
//
// A call is a span with a span below it for each of its attempts, whether repeated or sent beside
// a slow one. A call whose context has no trace has no spans. Broken streams have spans in any
// case.
type Traces struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator

	mu     sync.Mutex
	broken map[string]*broken // by the streams' service
}

// broken counts failed streams of a service until one is opened.
type broken struct {
	since    time.Time
	member   string
	err      error
	failures int
}

// NewTraces returns Traces that take their spans from a provider. Traces are sent along as W3C's
// traceparent. Use a provider that exports in batches: one that exports each span where it ends
// holds up calls. The only error is that there is no provider.
func NewTraces(provider trace.TracerProvider) (*Traces, error) {
	if provider == nil {
		return nil, errNoProvider
	}
	return &Traces{
		tracer:     provider.Tracer(Scope),
		propagator: propagation.TraceContext{},
		broken:     make(map[string]*broken),
	}, nil
}

// DialOption makes a span for each attempt of a gRPC call whose context has a trace, and sends the
// trace along. It is for the DialOptions of a [clientv3.Config], and for channels to services, for
// instance with grpcdisc.
func (t *Traces) DialOption() grpc.DialOption { return grpc.WithStatsHandler(handler{t}) }

// start begins a span and returns it with its context.
func (t *Traces) start(
	ctx context.Context,
	name string,
	kind trace.SpanKind,
	attrs ...attribute.KeyValue,
) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
}

// end ends a span with the result of what it spans.
func end(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(otelcodes.Error, err.Error())
	}
	span.End()
}

// call counts the attempts of a call; contexts carry it.
type call struct{ made, underWay atomic.Int64 }

type callKey struct{}
type attemptSpanKey struct{}

// attempt is the span of an attempt, and its call if that is known.
type attempt struct {
	span trace.Span
	of   *call
}

// handler makes the spans of attempts: gRPC notifies it of each.
type handler struct{ t *Traces }

func (h handler) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return context.WithValue(ctx, attemptSpanKey{}, (*attempt)(nil))
	}
	method := strings.TrimPrefix(info.FullMethodName, "/")
	attrs := []attribute.KeyValue{attribute.String("rpc.system", "grpc")}
	if service, name, ok := strings.Cut(method, "/"); ok {
		attrs = append(attrs, attribute.String("rpc.service", service), attribute.String("rpc.method", name))
	}
	a := new(attempt)
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		a.of = c
		attrs = append(attrs, attemptKey.Int64(c.made.Add(1)-1), hedgeKey.Bool(c.underWay.Add(1) > 1))
	}
	ctx, a.span = h.t.start(ctx, method, trace.SpanKindClient, attrs...)
	out, _ := metadata.FromOutgoingContext(ctx)
	out = out.Copy() // others may hold it
	h.t.propagator.Inject(ctx, carrier(out))
	return context.WithValue(metadata.NewOutgoingContext(ctx, out), attemptSpanKey{}, a)
}

func (h handler) HandleRPC(ctx context.Context, what stats.RPCStats) {
	a, _ := ctx.Value(attemptSpanKey{}).(*attempt)
	if a == nil {
		return
	}
	switch what := what.(type) {
	case *stats.OutHeader:
		if what.RemoteAddr != nil {
			a.span.SetAttributes(peer(what.RemoteAddr.String())...)
		}
	case *stats.End:
		if a.of != nil {
			a.of.underWay.Add(-1)
		}
		end(a.span, what.Error)
	}
}

func (handler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (handler) HandleConn(context.Context, stats.ConnStats)                       {}

// peer returns the attributes of an address.
func peer(address string) []attribute.KeyValue {
	if to, err := netip.ParseAddrPort(address); err == nil {
		return []attribute.KeyValue{
			attribute.String("network.peer.address", to.Addr().String()),
			attribute.Int("network.peer.port", int(to.Port())),
		}
	}
	return []attribute.KeyValue{attribute.String("network.peer.address", address)} // a name, or a unix socket
}

// carrier lets a propagator use gRPC's metadata.
type carrier metadata.MD

func (c carrier) Get(key string) string {
	if all := metadata.MD(c).Get(key); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// Hooks returns hooks for a client's configuration, which also call those of next. Whenever a
// stream for watches or renewals fails, there is a span from then until one is open again:
// "etcd.Watch resume" or "etcd.Lease resume". It has a trace of its own. If several streams fail
// together, the span lasts from the first failure to the first stream that opens after it.
func (t *Traces) Hooks(next clientv3.Hooks) clientv3.Hooks {
	stream := next.Stream
	next.Stream = func(s clientv3.StreamInfo) {
		t.stream(s)
		if stream != nil {
			stream(s)
		}
	}
	return next
}

func (t *Traces) stream(s clientv3.StreamInfo) {
	t.mu.Lock()
	b := t.broken[s.Service]
	if s.Ended {
		if b == nil {
			b = &broken{since: time.Now(), member: s.Member, err: s.Err}
			t.broken[s.Service] = b
		}
		b.failures++
		t.mu.Unlock()
		return
	}
	delete(t.broken, s.Service)
	t.mu.Unlock()
	if b == nil {
		return
	}
	_, span := t.tracer.Start(
		context.Background(),
		"etcd."+s.Service+" resume",
		trace.WithTimestamp(b.since),
		trace.WithNewRoot(),
		trace.WithSpanKind(
			trace.SpanKindClient,
		),
		trace.WithAttributes(memberKey.String(s.Member), failuresKey.Int(b.failures)),
	)
	if b.err != nil {
		span.RecordError(b.err, trace.WithTimestamp(b.since), trace.WithAttributes(memberKey.String(b.member)))
	}
	span.End()
}
