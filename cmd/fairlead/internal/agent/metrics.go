package agent

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairlead-go/fairlead/discovery"
)

// healthAnswer is the agent's state. The agent is healthy while it answers, even if etcd is away:
// then its answers are stale.
type healthAnswer struct {
	Status        string  `json:"status"` // ok, stale or draining
	Services      int     `json:"services"`
	Stale         int     `json:"stale"` // how many of them are stale
	Age           float64 `json:"age"`   // of the oldest view, in seconds
	Registrations int     `json:"registrations"`
}

func (a *api) health(*http.Request) (int, any, error) {
	k := a.known()
	h := healthAnswer{
		Status:        "ok",
		Services:      k.services,
		Stale:         k.stale,
		Age:           seconds(k.age),
		Registrations: a.book.len(),
	}
	switch {
	case a.ending.Err() != nil:
		h.Status = "draining"
		return http.StatusServiceUnavailable, h, nil
	case k.stale > 0:
		h.Status = "stale"
	}
	return http.StatusOK, h, nil
}

// known counts what the agent knows of the services that clients ask for, by whatever protocol.
type known struct {
	services, stale, instances int
	age                        time.Duration // of the oldest view
}

// knower adds the services that it follows.
type knower interface {
	known(all map[string]*discovery.Subscription)
}

func (a *api) known() (k known) {
	all := make(map[string]*discovery.Subscription) // by name, so each counts once: all followers share its views
	for _, one := range a.knowers {
		one.known(all)
	}
	for _, sub := range all {
		k.services++
		st := sub.Status()
		if st.Stale {
			k.stale++
		}
		k.age = max(k.age, st.Age)
		if v := sub.View(); v != nil {
			k.instances += v.Len()
		}
	}
	return k
}

// metrics returns the handler of the agent's own metrics.
func (a *api) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(
			prometheus.NewGaugeFunc(
				prometheus.GaugeOpts{Namespace: "fairlead", Subsystem: "agent", Name: name, Help: help},
				f,
			),
		)
	}
	gauge(
		"services",
		"Services that are followed because a client asks for them, by whatever protocol.",
		func() float64 { return float64(a.known().services) },
	)
	gauge(
		"stale_services",
		"Followed services whose instances may be out of date.",
		func() float64 { return float64(a.known().stale) },
	)
	gauge(
		"instances",
		"Instances of the services that are followed.",
		func() float64 { return float64(a.known().instances) },
	)
	gauge(
		"age_seconds",
		"Age of the oldest view of a service: how long ago it was known to be current.",
		func() float64 { return a.known().age.Seconds() },
	)
	gauge(
		"registrations",
		"Instances that are registered through this agent.",
		func() float64 { return float64(a.book.len()) },
	)
	gauge("xds_streams", "Streams of clients of xDS.", func() float64 { return float64(a.planeStreams()) })
	gauge("streams", "Streams of events that are open.", func() float64 { return float64(len(a.streams)) })
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}
