package agent

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// defaultDrain is how long a drain lasts at most, unless the request says otherwise; mostDrain is
// the longest.
const defaultDrain, mostDrain = 10 * time.Second, 5 * time.Minute

// declaration is an instance as its program declares it.
type declaration struct {
	Addresses []string          `json:"addresses"`
	Version   string            `json:"version"`
	Zone      string            `json:"zone"`
	Weight    int               `json:"weight"`
	Tags      []string          `json:"tags"`
	Metadata  map[string]string `json:"metadata"`
	TTL       *int64            `json:"ttl"` // seconds
}

// registered is the answer to a registration and a renewal.
type registered struct {
	Service string `json:"service"`
	ID      string `json:"id"`
	TTL     int64  `json:"ttl"`
}

func named(r *http.Request) identity { return identity{r.PathValue("service"), r.PathValue("id")} }

func (a *api) put(r *http.Request) (int, any, error) {
	id := named(r)
	if err := mayWrite(r, id.service); err != nil {
		return 0, nil, err
	}
	var d declaration
	if err := decode(r, &d); err != nil {
		return 0, nil, err
	}
	ttl := DefaultTTL
	if d.TTL != nil {
		least, most := int64(LeastTTL/time.Second), int64(MaxTTL/time.Second)
		if *d.TTL < least || *d.TTL > most {
			return 0, nil, &apiError{
				http.StatusBadRequest,
				"invalid",
				fmt.Sprintf("ttl is a number of seconds from %d to %d", least, most),
			}
		}
		ttl = time.Duration(*d.TTL) * time.Second
	}
	in := discovery.Instance{
		Service:   id.service,
		ID:        id.id,
		Addresses: d.Addresses,
		Version:   d.Version,
		Zone:      d.Zone,
		Weight:    d.Weight,
		Tags:      d.Tags,
		Metadata:  d.Metadata,
	}
	if err := in.Validate(); err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	created, err := a.book.put(ctx, in, ttl)
	if err != nil {
		return 0, nil, err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return status, registered{id.service, id.id, int64(ttl / time.Second)}, nil
}

func (a *api) renew(r *http.Request) (int, any, error) {
	id := named(r)
	if err := mayWrite(r, id.service); err != nil {
		return 0, nil, err
	}
	ttl, err := a.book.renew(id, 0)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, registered{id.service, id.id, int64(ttl / time.Second)}, nil
}

func (a *api) remove(r *http.Request) (int, any, error) {
	id := named(r)
	if err := mayWrite(r, id.service); err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	return http.StatusNoContent, nil, a.book.remove(ctx, id)
}

func (a *api) drain(r *http.Request) (int, any, error) {
	id := named(r)
	if err := mayWrite(r, id.service); err != nil {
		return 0, nil, err
	}
	limit := defaultDrain
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > int(mostDrain/time.Second) {
			return 0, nil, &apiError{
				http.StatusBadRequest,
				"invalid",
				fmt.Sprintf("limit is a number of seconds from 1 to %d", mostDrain/time.Second),
			}
		}
		limit = time.Duration(n) * time.Second
	}
	return http.StatusNoContent, nil, a.book.drain(r.Context(), id, limit)
}
