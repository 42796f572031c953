package agent

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// healthAnswer says how the agent is. It is well while it answers, also if etcd is away: then the answers are old.
type healthAnswer struct {
	Status        string  `json:"status"` // ok, stale or draining
	Services      int     `json:"services"`
	Stale         int     `json:"stale"` // of them
	Age           float64 `json:"age"`   // of the oldest, in seconds
	Registrations int     `json:"registrations"`
}

func (a *api) health(*http.Request) (int, any, error) {
	k := a.feeds.known()
	h := healthAnswer{Status: "ok", Services: k.services, Stale: k.stale, Age: seconds(k.age), Registrations: a.book.len()}
	switch {
	case a.ending.Err() != nil:
		h.Status = "draining"
		return http.StatusServiceUnavailable, h, nil
	case k.stale > 0:
		h.Status = "stale"
	}
	return http.StatusOK, h, nil
}

// metrics is the agent's own metrics.
func (a *api) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "fairlead", Subsystem: "agent", Name: name, Help: help}, f))
	}
	gauge("services", "Services that are followed because somebody asks for them over HTTP.", func() float64 { return float64(a.feeds.known().services) })
	gauge("stale_services", "Those of them whose instances may be out of date.", func() float64 { return float64(a.feeds.known().stale) })
	gauge("instances", "Instances of the services that are followed.", func() float64 { return float64(a.feeds.known().instances) })
	gauge("age_seconds", "How long ago the oldest of them was known to be right.", func() float64 { return a.feeds.known().age.Seconds() })
	gauge("registrations", "Instances that are registered through this agent.", func() float64 { return float64(a.book.len()) })
	gauge("streams", "Streams of events that are open.", func() float64 { return float64(len(a.streams)) })
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}
