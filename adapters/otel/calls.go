package otel

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Calls makes a span for each call of a client: it puts [Traces.KV] and [Traces.Lease] in place of
// the client's own. Call it before the client is used.
func (t *Traces) Calls(c *clientv3.Client) {
	c.KV, c.Lease = t.KV(c.KV), t.Lease(c.Lease)
}

// KV returns a KV that makes a span for each call: "etcd.Put", "etcd.Txn" and so on, with the key
// but without the value. GetStream has spans only for its attempts.
func (t *Traces) KV(kv clientv3.KV) clientv3.KV { return &tracedKV{KV: kv, t: t} }

// Lease returns a Lease that makes a span for each call except KeepAlive, which goes on.
func (t *Traces) Lease(l clientv3.Lease) clientv3.Lease { return &tracedLease{Lease: l, t: t} }

// call makes a call in a span.
func (t *Traces) call(
	ctx context.Context,
	name string,
	do func(context.Context) error,
	attrs ...attribute.KeyValue,
) error {
	ctx, span := t.start(ctx, "etcd."+name, trace.SpanKindInternal, attrs...)
	err := do(context.WithValue(ctx, callKey{}, new(call)))
	end(span, err)
	return err
}

type tracedKV struct {
	clientv3.KV
	t *Traces
}

func (k *tracedKV) Put(
	ctx context.Context,
	key, value string,
	opts ...clientv3.OpOption,
) (r *clientv3.PutResponse, err error) {
	err = k.t.call(ctx, "Put", func(ctx context.Context) (err error) {
		r, err = k.KV.Put(ctx, key, value, opts...)
		return err
	}, keyKey.String(key))
	return r, err
}

func (k *tracedKV) Get(
	ctx context.Context,
	key string,
	opts ...clientv3.OpOption,
) (r *clientv3.GetResponse, err error) {
	err = k.t.call(ctx, "Get", func(ctx context.Context) (err error) {
		r, err = k.KV.Get(ctx, key, opts...)
		return err
	}, keyKey.String(key))
	return r, err
}

func (k *tracedKV) Delete(
	ctx context.Context,
	key string,
	opts ...clientv3.OpOption,
) (r *clientv3.DeleteResponse, err error) {
	err = k.t.call(ctx, "Delete", func(ctx context.Context) (err error) {
		r, err = k.KV.Delete(ctx, key, opts...)
		return err
	}, keyKey.String(key))
	return r, err
}

func (k *tracedKV) Compact(
	ctx context.Context,
	rev int64,
	opts ...clientv3.CompactOption,
) (r *clientv3.CompactResponse, err error) {
	err = k.t.call(ctx, "Compact", func(ctx context.Context) (err error) {
		r, err = k.KV.Compact(ctx, rev, opts...)
		return err
	})
	return r, err
}

func (k *tracedKV) Do(ctx context.Context, op clientv3.Op) (r clientv3.OpResponse, err error) {
	name := "Do"
	switch {
	case op.IsGet():
		name = "Get"
	case op.IsPut():
		name = "Put"
	case op.IsDelete():
		name = "Delete"
	case op.IsTxn():
		name = "Txn"
	}
	err = k.t.call(ctx, name, func(ctx context.Context) (err error) {
		r, err = k.KV.Do(ctx, op)
		return err
	}, keyKey.String(string(op.KeyBytes())))
	return r, err
}

func (k *tracedKV) Txn(ctx context.Context) clientv3.Txn {
	return &tracedTxn{kv: k, ctx: ctx, build: func(t clientv3.Txn) clientv3.Txn { return t }}
}

// tracedTxn makes the transaction only when it is committed, since its context is that of the
// span.
type tracedTxn struct {
	kv    *tracedKV
	ctx   context.Context
	build func(clientv3.Txn) clientv3.Txn
}

func (x *tracedTxn) then(next func(clientv3.Txn) clientv3.Txn) clientv3.Txn {
	before := x.build
	x.build = func(t clientv3.Txn) clientv3.Txn { return next(before(t)) }
	return x
}

func (x *tracedTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	return x.then(func(t clientv3.Txn) clientv3.Txn { return t.If(cs...) })
}

func (x *tracedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	return x.then(func(t clientv3.Txn) clientv3.Txn { return t.Then(ops...) })
}

func (x *tracedTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	return x.then(func(t clientv3.Txn) clientv3.Txn { return t.Else(ops...) })
}

func (x *tracedTxn) Commit() (r *clientv3.TxnResponse, err error) {
	err = x.kv.t.call(x.ctx, "Txn", func(ctx context.Context) (err error) {
		r, err = x.build(x.kv.KV.Txn(ctx)).Commit()
		return err
	})
	return r, err
}

type tracedLease struct {
	clientv3.Lease
	t *Traces
}

func (l *tracedLease) Grant(ctx context.Context, ttl int64) (r *clientv3.LeaseGrantResponse, err error) {
	err = l.t.call(ctx, "Grant", func(ctx context.Context) (err error) {
		r, err = l.Lease.Grant(ctx, ttl)
		return err
	})
	return r, err
}

func (l *tracedLease) Revoke(ctx context.Context, id clientv3.LeaseID) (r *clientv3.LeaseRevokeResponse, err error) {
	err = l.t.call(ctx, "Revoke", func(ctx context.Context) (err error) {
		r, err = l.Lease.Revoke(ctx, id)
		return err
	}, leaseKey.Int64(int64(id)))
	return r, err
}

func (l *tracedLease) KeepAliveOnce(
	ctx context.Context,
	id clientv3.LeaseID,
) (r *clientv3.LeaseKeepAliveResponse, err error) {
	err = l.t.call(ctx, "KeepAliveOnce", func(ctx context.Context) (err error) {
		r, err = l.Lease.KeepAliveOnce(ctx, id)
		return err
	}, leaseKey.Int64(int64(id)))
	return r, err
}

// Lock locks a mutex. The span "etcd.Lock" shows how long it waited.
func (t *Traces) Lock(ctx context.Context, m *concurrency.Mutex) error {
	return t.wait(ctx, "Lock", m, m.Lock)
}

// Campaign waits until the election is won. The span "etcd.Campaign" shows how long that took.
func (t *Traces) Campaign(ctx context.Context, e *concurrency.Election, value string) error {
	return t.wait(ctx, "Campaign", e, func(ctx context.Context) error { return e.Campaign(ctx, value) })
}

func (t *Traces) wait(ctx context.Context, name string, owner interface {
	Key() string
	Fence() int64
}, do func(context.Context) error) error {
	ctx, span := t.start(ctx, "etcd."+name, trace.SpanKindInternal)
	err := do(ctx)
	if err == nil {
		span.SetAttributes(keyKey.String(owner.Key()), fenceKey.Int64(owner.Fence()))
	}
	end(span, err)
	return err
}

// Pick picks an instance. The span "discovery.Pick" shows which one, and how long it waited for an
// instance.
func (t *Traces) Pick(ctx context.Context, b *pick.Balancer) (*discovery.Instance, pick.Done, error) {
	ctx, span := t.start(ctx, "discovery.Pick", trace.SpanKindInternal)
	in, done, err := b.Pick(ctx)
	if err == nil {
		span.SetAttributes(serviceKey.String(in.Service), instanceKey.String(in.ID))
	}
	end(span, err)
	return in, done, err
}

// RoundTripper makes a span for each attempt of a request, if the context of the request has a
// trace, and sends the trace along. With httpdisc.WithTransport it traces the picks of httpdisc,
// with the instances' addresses. The span ends with the header of the answer.
func (t *Traces) RoundTripper(base http.RoundTripper) http.RoundTripper { return roundTripper{t, base} }

type roundTripper struct {
	t    *Traces
	base http.RoundTripper
}

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return r.base.RoundTrip(req)
	}
	attrs := append(peer(req.URL.Host), attribute.String("http.request.method", req.Method))
	ctx, span := r.t.start(ctx, "HTTP "+req.Method, trace.SpanKindClient, attrs...)
	req = req.Clone(ctx) // a RoundTripper must not change its request
	r.t.propagator.Inject(ctx, propagation.HeaderCarrier(req.Header))
	answer, err := r.base.RoundTrip(req)
	if err == nil {
		span.SetAttributes(attribute.Int("http.response.status_code", answer.StatusCode))
	}
	end(span, err)
	return answer, err
}

// CloseIdleConnections closes the idle connections of base.
func (r roundTripper) CloseIdleConnections() {
	if c, ok := r.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
