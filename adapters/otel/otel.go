// Package otel reports to OpenTelemetry what a client does: metrics ([New]), which the table in
// package adapters lists, and traces ([NewTraces]).
//
//	m, err := otel.New(provider)
//	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Hooks: m.Hooks()})
//	m.Follow(cli)
package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fairlead-go/fairlead/adapters/internal/hook"
	"github.com/fairlead-go/fairlead/clientv3"
)

// Scope is the name of the instruments' scope.
const Scope = "github.com/fairlead-go/fairlead/adapters/otel"

var errNoProvider = errors.New("otel: the provider is nil")

// Metrics are the metrics of one or more clients. They are safe for concurrent use.
type Metrics struct {
	recorder     *hook.Recorder
	registration metric.Registration

	attempts, repeats, hedges, changes, opened, failed, watchesFailed, events, lost metric.Int64Counter
	took                                                                            metric.Float64Histogram
}

// New makes the instruments. Call [Metrics.Close] when they are no longer needed. It fails without
// a provider, and if the provider refuses an instrument.
func New(provider metric.MeterProvider) (*Metrics, error) {
	m := &Metrics{}
	if provider == nil {
		return nil, errNoProvider
	}
	meter := provider.Meter(Scope)
	var errs []error
	counter := func(name, unit, help string) metric.Int64Counter {
		c, err := meter.Int64Counter("fairlead."+name, metric.WithUnit(unit), metric.WithDescription(help))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, unit, help string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge("fairlead."+name, metric.WithUnit(unit), metric.WithDescription(help))
		errs = append(errs, err)
		return g
	}
	m.attempts = counter(
		"attempts",
		"{request}",
		"Requests, those included that the client repeats or sends twice by itself.",
	)
	m.repeats = counter("repeats", "{request}", "Requests that repeated one that had failed.")
	m.hedges = counter("hedges", "{request}", "Requests sent a second time because the first took unusually long.")
	m.changes = counter("member.changes", "{change}", "Changes of a member's state, by the new state.")
	m.opened = counter("streams.opened", "{stream}", "Streams for watches and renewals that were opened.")
	m.failed = counter("streams.failed", "{stream}", "Streams that failed or could not be opened.")
	m.watchesFailed = counter("watches.failed", "{watch}", "Watches that ended by a failure.")
	m.events = counter("lease.events", "{event}", "What happened to leases.")
	m.lost = counter("leases.lost", "{lease}", "Leases that were lost, by the reason.")
	took, err := meter.Float64Histogram(
		"fairlead.attempt.duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long requests took."),
		metric.WithExplicitBucketBoundaries(
			.0001,
			.00025,
			.0005,
			.001,
			.0025,
			.005,
			.01,
			.025,
			.05,
			.1,
			.25,
			.5,
			1,
			2.5,
			5,
			10,
		),
	)
	errs = append(errs, err)
	m.took = took
	latency, err := meter.Float64ObservableGauge(
		"fairlead.member.latency",
		metric.WithUnit("s"),
		metric.WithDescription("How long recent short calls to a member took."),
	)
	errs = append(errs, err)
	state := gauge("member.state", "1", "1 for the state that a member is in, else 0.")
	watches := gauge("watches", "{watch}", "Watches that are open.")
	atRisk := gauge(
		"leases.at_risk",
		"{lease}",
		"Leases with a renewal that was not acknowledged as it should have been.",
	)
	m.recorder = hook.New(counting{m})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	m.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, member := range m.recorder.Members() {
			endpoint := attribute.String("member", member.Endpoint)
			for _, s := range hook.States {
				var is int64
				if s == member.State {
					is = 1
				}
				o.ObserveInt64(state, is, metric.WithAttributes(endpoint, attribute.String("state", string(s))))
			}
			o.ObserveFloat64(latency, member.Latency.Seconds(), metric.WithAttributes(endpoint))
		}
		o.ObserveInt64(watches, m.recorder.Watches())
		o.ObserveInt64(atRisk, int64(m.recorder.AtRisk()))
		return nil
	}, latency, state, watches, atRisk)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Hooks returns hooks for a client's configuration; [clientv3.JoinHooks] adds others.
func (m *Metrics) Hooks() clientv3.Hooks { return m.recorder.Hooks() }

// Follow reports the states and latencies of the client's members from now on. A nil client has
// none.
func (m *Metrics) Follow(c *clientv3.Client) { m.recorder.Follow(c) }

// Unfollow ends that, before the client is closed.
func (m *Metrics) Unfollow(c *clientv3.Client) { m.recorder.Unfollow(c) }

// Close ends the reports of values that are observed at each collection.
func (m *Metrics) Close() error { return m.registration.Unregister() }

// counting is Metrics as the recorder sees it.
type counting struct{ m *Metrics }

// add counts one, with attributes in pairs of name and value.
func add(c metric.Int64Counter, pairs ...string) {
	c.Add(context.Background(), 1, metric.WithAttributes(attributes(pairs)...))
}

func attributes(pairs []string) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, attribute.String(pairs[i], pairs[i+1]))
	}
	return list
}

func (c counting) Attempt(a clientv3.AttemptInfo, code string) {
	add(c.m.attempts, "method", a.Method, "member", a.Member, "code", code)
	c.m.took.Record(
		context.Background(),
		a.Took.Seconds(),
		metric.WithAttributes(attributes([]string{"method", a.Method, "member", a.Member})...),
	)
	if a.Number > 0 && !a.Hedge {
		add(c.m.repeats, "method", a.Method)
	}
	if a.Hedge {
		add(c.m.hedges, "method", a.Method)
	}
}

func (c counting) MemberChange(endpoint string, state clientv3.MemberState) {
	add(c.m.changes, "member", endpoint, "state", string(state))
}

func (c counting) StreamOpened(service, member string) {
	add(c.m.opened, "service", service, "member", member)
}

func (c counting) StreamFailed(service, member, code string) {
	add(c.m.failed, "service", service, "member", member, "code", code)
}

func (c counting) WatchFailed(code string) { add(c.m.watchesFailed, "code", code) }
func (c counting) LeaseEvent(event string) { add(c.m.events, "event", event) }
func (c counting) LeaseLost(reason string) { add(c.m.lost, "reason", reason) }
