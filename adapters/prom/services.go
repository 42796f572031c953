package prom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-go/fairlead/adapters/internal/hook"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// Services is a collector of what balancers of package pick know of the instances that they call.
// It is safe for concurrent use.
//
//	s := prom.NewServices()
//	prometheus.MustRegister(s)
//	t := httpdisc.New(directory, httpdisc.WithPicking(s.Picking()))
//	s.Follow("orders", func() []pick.Status { return t.Statuses("orders") })
//
// [Services.FollowSplit] adds how calls are split, [Services.FollowViews] the age of what is known
// of a service, and [Services.Event] what happens to the instances that this process registers.
type Services struct {
	ejections, returns, attempts                          *prometheus.CounterVec
	events, drainSeconds                                  *prometheus.CounterVec
	ejected, trial, draining, share, outstanding, latency *prometheus.Desc
	percent, splitShare, splitInstances                   *prometheus.Desc
	viewAge, viewStale, viewUsed, viewInstances           *prometheus.Desc

	services hook.Services
}

var _ prometheus.Collector = (*Services)(nil)

// NewServices returns a collector. Register it with a registry.
func NewServices() *Services {
	labels := []string{"service", "instance"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fairlead", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("fairlead_"+name, help, labels, nil)
	}
	subset := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("fairlead_"+name, help, []string{"service", "subset"}, nil)
	}
	view := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("fairlead_"+name, help, []string{"service", "cluster"}, nil)
	}
	return &Services{
		ejections: counter(
			"instance_ejections_total",
			"Instances left out since calls failed, by whether they stood still.",
			"service",
			"instance",
			"reason",
		),
		returns: counter("instance_returns_total", "Instances that came back after that, on trial.", labels...),
		attempts: counter(
			"instance_attempts_total",
			"Attempts of calls that are over, by what they were (first, retry, hedge) and what came of them.",
			"service",
			"instance",
			"kind",
			"outcome",
		),
		events: counter(
			"registration_events_total",
			"What happened to instances that this process registers.",
			"service",
			"event",
		),
		drainSeconds: counter(
			"registration_drain_seconds_total",
			"How long instances that this process registers took to drain.",
			"service",
		),
		draining: gauge("instance_draining", "1 while an instance drains, so that it gets no new calls, else 0."),
		ejected:  gauge("instance_ejected", "1 while an instance is left out since calls failed, else 0."),
		trial:    gauge("instance_trial", "1 while an instance gets one call at a time, else 0."),
		share: gauge("instance_share",
			"The part of its weight that an instance gets; below 1 while it warms up."),
		outstanding: gauge("instance_outstanding", "Calls under way, as far as the policy counts them."),
		latency:     gauge("instance_latency_seconds", "The latency to expect, 0 if it is not known."),

		percent: subset("split_percent",
			"The percentage of the calls to a service that operators ask for a subset of its instances."),
		splitShare: subset("split_share",
			"The percentage that the subset gets now: more while others have no live instance, 0 while it has none."),
		splitInstances: subset("split_instances", "Instances of the subset that can be picked."),

		viewAge: view("view_age_seconds", "How long ago what is known of a service in a cluster was last known "+
			"to be right; 0 before the first answer."),
		viewStale:     view("view_stale", "1 while etcd does not answer, or has not yet, else 0."),
		viewUsed:      view("view_used", "1 if it is this cluster whose instances are called, else 0."),
		viewInstances: view("view_instances", "Instances that are registered, those that drain included."),
	}
}

// Picking returns an option that counts a balancer's ejections and the attempts of calls. Any
// number of balancers may share it.
func (s *Services) Picking() pick.Option {
	return hook.Picking(
		func(service, instance, reason string) { s.ejections.WithLabelValues(service, instance, reason).Inc() },
		func(service, instance string) { s.returns.WithLabelValues(service, instance).Inc() },
		func(service, instance, kind, outcome string) {
			s.attempts.WithLabelValues(service, instance, kind, outcome).Inc()
		})
}

// Event counts what happens to the instances that this process registers, above all drains. Hand
// it to [discovery.WithEvents] of any number of registrars:
//
//	r := discovery.NewRegistrar(client, discovery.WithEvents(s.Event))
func (s *Services) Event(e discovery.Event) {
	if e.Instance == nil {
		return // a plain key
	}
	s.events.WithLabelValues(e.Instance.Service, string(e.Kind)).Inc()
	if e.Kind == discovery.Left {
		s.drainSeconds.WithLabelValues(e.Instance.Service).Add(e.Took.Seconds())
	}
}

// counters returns the counters of s.
func (s *Services) counters() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{s.ejections, s.returns, s.attempts, s.events, s.drainSeconds}
}

// Follow reports the statuses of a service's instances from now on. It replaces an earlier
// function for that service; nil ends the reports. The function is called at each collection, and
// must not call the collector.
func (s *Services) Follow(service string, statuses func() []pick.Status) {
	s.services.Follow(service, statuses)
}

// FollowSplit reports how the calls to a service are split. It works like [Services.Follow]:
//
//	s.FollowSplit("orders", func() []pick.SubsetStatus { return t.Split("orders") })
func (s *Services) FollowSplit(service string, split func() []pick.SubsetStatus) {
	s.services.FollowSplit(service, split)
}

// FollowViews reports the age of each cluster's view of a service, and the cluster whose instances
// are called. It works like [Services.Follow]. Take the function from a subscription, which shares
// the watch of the service's callers:
//
//	sub, err := directory.Subscribe("orders")
//	s.FollowViews("orders", sub.Clusters)
func (s *Services) FollowViews(service string, clusters func() []discovery.ClusterStatus) {
	s.services.FollowViews(service, clusters)
}

// Describe implements [prometheus.Collector].
func (s *Services) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.counters() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{
		s.ejected, s.trial, s.draining, s.share, s.outstanding, s.latency,
		s.percent, s.splitShare, s.splitInstances,
		s.viewAge, s.viewStale, s.viewUsed, s.viewInstances,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *Services) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.counters() {
		c.Collect(ch)
	}
	s.services.Each(func(service string, st pick.Status) {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, service, st.Instance.ID)
		}
		gauge(s.ejected, one(st.Ejected))
		gauge(s.trial, one(st.Trial))
		gauge(s.draining, one(st.Instance.IsDraining()))
		gauge(s.share, st.Share)
		gauge(s.outstanding, float64(st.Outstanding))
		gauge(s.latency, st.Latency.Seconds())
	}, func(service string, st pick.SubsetStatus) {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, service, string(st.Filter))
		}
		gauge(s.percent, st.Percent)
		gauge(s.splitShare, st.Share)
		gauge(s.splitInstances, float64(st.Instances))
	}, func(service string, st discovery.ClusterStatus) {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, service, st.Cluster)
		}
		gauge(s.viewAge, st.Status.Age.Seconds())
		gauge(s.viewStale, one(st.Status.Stale))
		gauge(s.viewUsed, one(st.Used))
		gauge(s.viewInstances, float64(st.Instances))
	})
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
