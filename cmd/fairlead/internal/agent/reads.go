package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// listEvery is the shortest time between two reads of the names of all services.
const listEvery = time.Second

// viewAnswer is the last known view of a service.
type viewAnswer struct {
	Service string `json:"service"`
	sureness
	Instances []*discovery.Instance `json:"instances"`
	Split     discovery.Split       `json:"split,omitempty"`
}

// sureness says how old an answer is.
type sureness struct {
	Revision int64   `json:"revision"` // 0: from a file
	Stale    bool    `json:"stale"`
	Age      float64 `json:"age"` // seconds since it was last known to be current
}

func sure(s *discovery.Subscription, v *discovery.View) sureness {
	st := s.Status()
	return sureness{Revision: v.Revision(), Stale: st.Stale, Age: seconds(st.Age)}
}

func seconds(d time.Duration) float64 { return float64(max(d, 0).Milliseconds()) / 1000 }

func filter(r *http.Request) (discovery.Filter, error) {
	f := discovery.Filter(r.URL.Query().Get("filter"))
	return f, f.Validate()
}

func (a *api) get(r *http.Request) (int, any, error) {
	f, err := filter(r)
	if err != nil {
		return 0, nil, err
	}
	service := r.PathValue("service")
	one, v, err := a.feeds.ready(r.Context(), service)
	if err != nil {
		return 0, nil, err
	}
	answer := viewAnswer{
		Service:   service,
		sureness:  sure(one.Subscription, v),
		Split:     v.Split(),
		Instances: []*discovery.Instance{},
	}
	for in := range v.All() {
		if f.Matches(in) {
			answer.Instances = append(answer.Instances, in)
		}
	}
	return http.StatusOK, answer, nil
}

// instanceAnswer is one instance.
type instanceAnswer struct {
	sureness
	Instance *discovery.Instance `json:"instance"`
}

func (a *api) getInstance(r *http.Request) (int, any, error) {
	one, v, err := a.feeds.ready(r.Context(), r.PathValue("service"))
	if err != nil {
		return 0, nil, err
	}
	in := v.Get(r.PathValue("id"))
	if in == nil {
		return 0, nil, &apiError{http.StatusNotFound, "unknown", discovery.ErrNotFound.Error()}
	}
	return http.StatusOK, instanceAnswer{sure(one.Subscription, v), in}, nil
}

func (a *api) pick(r *http.Request) (int, any, error) {
	f, err := filter(r)
	if err != nil {
		return 0, nil, err
	}
	service, key := r.PathValue("service"), r.URL.Query().Get("key")
	one, v, err := a.feeds.ready(r.Context(), service)
	if err != nil {
		return 0, nil, err
	}
	b, err := a.feeds.picker(one, service, key != "")
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(pick.WithKey(r.Context(), key), loadWithin)
	defer cancel()
	if err := b.Ready(ctx); err != nil {
		return 0, nil, err
	}
	choose := b.Pick
	if f != "" {
		choose = func(ctx context.Context) (*discovery.Instance, pick.Done, error) { return b.PickMatching(ctx, f) }
	}
	in, done, err := choose(ctx)
	if err != nil {
		return 0, nil, err
	}
	done.Report(pick.Ignored) // nobody reports the outcome of the call
	return http.StatusOK, instanceAnswer{sure(one.Subscription, v), in}, nil
}

// serviceCount is a service in a list.
type serviceCount struct {
	Service   string `json:"service"`
	Instances int    `json:"instances"`
}

type listAnswer struct {
	sureness
	Services []serviceCount `json:"services"`
}

// listing is the names of all services, as last read.
type listing struct {
	mu       sync.Mutex
	services []serviceCount
	revision int64
	at       time.Time // of the last read that did not fail; zero: there was none
	err      error     // of the last read
	failed   time.Time // when the last read that failed ended
}

func (a *api) list(r *http.Request) (int, any, error) {
	answer, err := a.listing(r.Context())
	return http.StatusOK, answer, err
}

// listing returns the list of all services, at most listEvery old if etcd answers. Requests that
// come during a read share its outcome: while etcd is away none waits for more than one of them.
func (a *api) listing(ctx context.Context) (listAnswer, error) {
	l := &a.listed
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.at) >= listEvery && (l.err == nil || time.Since(l.failed) >= listEvery) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadWithin)
		defer cancel()
		if l.err = a.read(ctx, l); l.err != nil {
			l.failed = time.Now()
		}
	}
	if l.at.IsZero() {
		return listAnswer{}, l.err
	}
	return listAnswer{sureness{l.revision, l.err != nil, seconds(time.Since(l.at))}, l.services}, nil
}

// read reads from etcd which services there are.
func (a *api) read(ctx context.Context, l *listing) error {
	if a.base == "" {
		return &apiError{
			http.StatusNotImplemented,
			"no_base",
			"records of this format can be anywhere, so they cannot be listed without --base",
		}
	}
	at := time.Now()
	r, err := a.client.Get(ctx, a.base, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return fmt.Errorf("list the services: %w", err)
	}
	_, escaped := a.format.(discovery.JSON)
	counts := make(map[string]int)
	for _, kv := range r.Kvs {
		rest := string(kv.Key)[len(a.base):]
		i := strings.LastIndex(rest, "/")
		if i <= 0 {
			continue
		}
		name := rest[:i]
		if escaped {
			if name, err = url.PathUnescape(name); err != nil {
				continue // not one of our services
			}
		}
		counts[name]++
	}
	l.services = make([]serviceCount, 0, len(counts))
	for name, n := range counts {
		l.services = append(l.services, serviceCount{name, n})
	}
	slices.SortFunc(l.services, func(x, y serviceCount) int { return strings.Compare(x.Service, y.Service) })
	l.revision, l.at = r.Header.Revision, at
	return nil
}
