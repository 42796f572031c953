package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fairlead-go/fairlead/adapters/internal/hook"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Services are metrics of what balancers of package pick know of the instances that they call, the
// same as those of prom.Services. It is safe for concurrent use.
//
//	s, err := otel.NewServices(provider)
//	t := httpdisc.New(directory, httpdisc.WithPicking(s.Picking()))
//	s.Follow("orders", func() []pick.Status { return t.Statuses("orders") })
type Services struct {
	services                             hook.Services
	registration                         metric.Registration
	ejections, returns, attempts, events metric.Int64Counter
	drainSeconds                         metric.Float64Counter
}

// NewServices makes the instruments. Call [Services.Close] when they are no longer needed. It fails
// as [New] does.
func NewServices(provider metric.MeterProvider) (*Services, error) {
	s := &Services{}
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
	var gauges []metric.Observable
	gauge := func(name, unit, help string) metric.Float64ObservableGauge {
		g, err := meter.Float64ObservableGauge("fairlead."+name, metric.WithUnit(unit), metric.WithDescription(help))
		errs, gauges = append(errs, err), append(gauges, g)
		return g
	}
	s.ejections = counter(
		"instance.ejections",
		"{instance}",
		"Instances left out since calls failed, by whether they stood still.",
	)
	s.returns = counter("instance.returns", "{instance}", "Instances that came back after that, on trial.")
	s.attempts = counter(
		"instance.attempts",
		"{attempt}",
		"Attempts of calls that are over, by what they were (first, retry, hedge) and what came of them.",
	)
	s.events = counter("registration.events", "{event}", "What happened to instances that this process registers.")
	var err error
	s.drainSeconds, err = meter.Float64Counter(
		"fairlead.registration.drain.duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long instances that this process registers took to drain."),
	)
	errs = append(errs, err)
	draining := gauge("instance.draining", "1", "1 while an instance drains, so that it gets no new calls, else 0.")
	ejected := gauge("instance.ejected", "1", "1 while an instance is left out since calls failed, else 0.")
	trial := gauge("instance.trial", "1", "1 while an instance gets one call at a time, else 0.")
	share := gauge("instance.share", "1", "The part of its weight that an instance gets; below 1 while it warms up.")
	outstanding := gauge("instance.outstanding", "{call}", "Calls under way, as far as the policy counts them.")
	latency := gauge("instance.latency", "s", "The latency to expect, 0 if it is not known.")
	percent := gauge(
		"split.percent",
		"%",
		"The percentage of the calls to a service that operators ask for a subset of its instances.",
	)
	splitShare := gauge(
		"split.share",
		"%",
		"The percentage that the subset gets now: more while others have no live instance, 0 while it has none.",
	)
	instances := gauge("split.instances", "{instance}", "Instances of the subset that can be picked.")
	viewAge := gauge(
		"view.age",
		"s",
		"How long ago what is known of a service in a cluster was last known to be right; 0 before the first answer.",
	)
	viewStale := gauge("view.stale", "1", "1 while etcd does not answer, or has not yet, else 0.")
	viewUsed := gauge("view.used", "1", "1 if it is this cluster whose instances are called, else 0.")
	registered := gauge("view.instances", "{instance}", "Instances that are registered, those that drain included.")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.services.Each(func(service string, st pick.Status) {
			of := about(service, "instance", st.Instance.ID)
			o.ObserveFloat64(ejected, one(st.Ejected), of)
			o.ObserveFloat64(trial, one(st.Trial), of)
			o.ObserveFloat64(draining, one(st.Instance.IsDraining()), of)
			o.ObserveFloat64(share, st.Share, of)
			o.ObserveFloat64(outstanding, float64(st.Outstanding), of)
			o.ObserveFloat64(latency, st.Latency.Seconds(), of)
		}, func(service string, st pick.SubsetStatus) {
			of := about(service, "subset", string(st.Filter))
			o.ObserveFloat64(percent, st.Percent, of)
			o.ObserveFloat64(splitShare, st.Share, of)
			o.ObserveFloat64(instances, float64(st.Instances), of)
		}, func(service string, st discovery.ClusterStatus) {
			of := about(service, "cluster", st.Cluster)
			o.ObserveFloat64(viewAge, st.Status.Age.Seconds(), of)
			o.ObserveFloat64(viewStale, one(st.Status.Stale), of)
			o.ObserveFloat64(viewUsed, one(st.Used), of)
			o.ObserveFloat64(registered, float64(st.Instances), of)
		})
		return nil
	}, gauges...)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func about(service, what, name string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("service", service), attribute.String(what, name))
}

// Picking returns an option that counts a balancer's ejections and the attempts of calls. Any
// number of balancers may share it.
func (s *Services) Picking() pick.Option {
	return hook.Picking(
		func(service, instance, reason string) {
			add(s.ejections, "service", service, "instance", instance, "reason", reason)
		},
		func(service, instance string) { add(s.returns, "service", service, "instance", instance) },
		func(service, instance, kind, outcome string) {
			add(s.attempts, "service", service, "instance", instance, "kind", kind, "outcome", outcome)
		})
}

// Event counts what happens to the instances that this process registers, above all drains. Hand
// it to [discovery.WithEvents] of any number of registrars.
func (s *Services) Event(e discovery.Event) {
	if e.Instance == nil {
		return // a plain key
	}
	add(s.events, "service", e.Instance.Service, "event", string(e.Kind))
	if e.Kind == discovery.Left {
		s.drainSeconds.Add(
			context.Background(),
			e.Took.Seconds(),
			metric.WithAttributes(attribute.String("service", e.Instance.Service)),
		)
	}
}

// Follow reports the statuses of a service's instances from now on. It replaces an earlier
// function for that service; nil ends the reports. The function is called at each collection, and
// must not call s.
func (s *Services) Follow(service string, statuses func() []pick.Status) {
	s.services.Follow(service, statuses)
}

// FollowSplit reports how the calls to a service are split. It works like [Services.Follow].
func (s *Services) FollowSplit(service string, split func() []pick.SubsetStatus) {
	s.services.FollowSplit(service, split)
}

// FollowViews reports the age of each cluster's view of a service, and the cluster whose instances
// are called. It works like [Services.Follow]. Take the function from a subscription:
// [discovery.Subscription.Clusters]. The subscription shares the watch of the service's callers.
func (s *Services) FollowViews(service string, clusters func() []discovery.ClusterStatus) {
	s.services.FollowViews(service, clusters)
}

// Close ends the reports of values that are observed at each collection.
func (s *Services) Close() error { return s.registration.Unregister() }

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
