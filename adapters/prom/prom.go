// Package prom reports to Prometheus what a client does. The table in package adapters lists the
// metrics.
//
//	m := prom.New()
//	prometheus.MustRegister(m)
//	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Hooks: m.Hooks()})
//	m.Follow(cli)
package prom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-go/fairlead/adapters/internal/hook"
	"github.com/fairlead-go/fairlead/clientv3"
)

// Metrics is a collector of the metrics of one or more clients. It is safe for concurrent
// use.
type Metrics struct {
	recorder *hook.Recorder
	vectors  []prometheus.Collector

	attempts, repeats, hedges, changes, opened, failed, watchesFailed, events, lost *prometheus.CounterVec
	took                                                                            *prometheus.HistogramVec
	state, latency, watches, atRisk                                                 *prometheus.Desc
}

var _ prometheus.Collector = (*Metrics)(nil)

// buckets are for calls that take from a tenth of a millisecond to ten seconds.
var buckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New returns a collector. Register it with a registry.
func New() *Metrics {
	m := &Metrics{}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fairlead", Name: name, Help: help}, labels)
		m.vectors = append(m.vectors, v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("fairlead_"+name, help, labels, nil)
	}
	m.attempts = counter(
		"attempts_total",
		"Requests, those included that the client repeats or sends twice by itself.",
		"method",
		"member",
		"code",
	)
	m.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "fairlead", Name: "attempt_duration_seconds", Help: "How long requests took.", Buckets: buckets,
	}, []string{"method", "member"})
	m.vectors = append(m.vectors, m.took)
	m.repeats = counter("repeats_total", "Requests that repeated one that had failed.", "method")
	m.hedges = counter("hedges_total", "Requests sent a second time because the first took unusually long.", "method")
	m.changes = counter("member_changes_total", "Changes of a member's state, by the new state.", "member", "state")
	m.opened = counter(
		"streams_opened_total",
		"Streams for watches and renewals that were opened.",
		"service",
		"member",
	)
	m.failed = counter(
		"streams_failed_total",
		"Streams that failed or could not be opened.",
		"service",
		"member",
		"code",
	)
	m.watchesFailed = counter("watches_failed_total", "Watches that ended by a failure.", "code")
	m.events = counter("lease_events_total", "What happened to leases.", "event")
	m.lost = counter("leases_lost_total", "Leases that were lost, by the reason.", "reason")
	m.state = gauge("member_state", "1 for the state that a member is in, else 0.", "member", "state")
	m.latency = gauge("member_latency_seconds", "How long recent short calls to a member took.", "member")
	m.watches = gauge("watches", "Watches that are open.")
	m.atRisk = gauge("leases_at_risk", "Leases with a renewal that was not acknowledged as it should have been.")
	m.recorder = hook.New(counting{m})
	return m
}

// Hooks returns hooks for a client's configuration; [clientv3.JoinHooks] adds others.
func (m *Metrics) Hooks() clientv3.Hooks { return m.recorder.Hooks() }

// Follow reports the states and latencies of the client's members from now on. A nil client has
// none.
func (m *Metrics) Follow(c *clientv3.Client) { m.recorder.Follow(c) }

// Unfollow ends that, before the client is closed.
func (m *Metrics) Unfollow(c *clientv3.Client) { m.recorder.Unfollow(c) }

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range m.vectors {
		v.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.state, m.latency, m.watches, m.atRisk} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, v := range m.vectors {
		v.Collect(ch)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, member := range m.recorder.Members() {
		for _, s := range hook.States {
			is := 0.0
			if s == member.State {
				is = 1
			}
			gauge(m.state, is, member.Endpoint, string(s))
		}
		gauge(m.latency, member.Latency.Seconds(), member.Endpoint)
	}
	gauge(m.watches, float64(m.recorder.Watches()))
	gauge(m.atRisk, float64(m.recorder.AtRisk()))
}

// counting is Metrics as the recorder sees it.
type counting struct{ m *Metrics }

func (c counting) Attempt(a clientv3.AttemptInfo, code string) {
	c.m.attempts.WithLabelValues(a.Method, a.Member, code).Inc()
	c.m.took.WithLabelValues(a.Method, a.Member).Observe(a.Took.Seconds())
	if a.Number > 0 && !a.Hedge {
		c.m.repeats.WithLabelValues(a.Method).Inc()
	}
	if a.Hedge {
		c.m.hedges.WithLabelValues(a.Method).Inc()
	}
}

func (c counting) MemberChange(endpoint string, state clientv3.MemberState) {
	c.m.changes.WithLabelValues(endpoint, string(state)).Inc()
}

func (c counting) StreamOpened(service, member string) {
	c.m.opened.WithLabelValues(service, member).Inc()
}

func (c counting) StreamFailed(service, member, code string) {
	c.m.failed.WithLabelValues(service, member, code).Inc()
}

func (c counting) WatchFailed(code string) { c.m.watchesFailed.WithLabelValues(code).Inc() }
func (c counting) LeaseEvent(event string) { c.m.events.WithLabelValues(event).Inc() }
func (c counting) LeaseLost(reason string) { c.m.lost.WithLabelValues(reason).Inc() }
