package httpdisc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Hooks are called for each attempt: the first, retries, and hedges.
func TestAttemptsAreReported(t *testing.T) {
	var mu sync.Mutex
	reported := make(map[string]int)
	hooks := pick.Hooks{Attempt: func(i pick.AttemptInfo) {
		mu.Lock()
		defer mu.Unlock()
		reported[fmt.Sprint(i.Instance.ID, " ", i.Number, " ", i.Hedge, " ", i.Outcome, " ", i.Err != nil)]++
		if i.Took <= 0 {
			t.Errorf("%+v", i)
		}
	}}
	r, tr := setup(
		t,
		clienttest.Shared(t),
		httpdisc.WithPolicy(pick.Random()),
		httpdisc.WithHedging(100*time.Millisecond),
		httpdisc.WithPicking(pick.WithHooks(hooks), pick.WithoutEjection()),
	)
	good, bad := serve(t, "good"), serve(t, "bad")
	slow := serve(t, "slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(clienttest.Long):
		case <-r.Context().Done():
		}
	})
	bad.status.Store(503)
	for _, s := range []*server{good, bad, slow} {
		register(t, r, s)
	}
	await(t, tr, 3)
	for _, want := range []string{"good 0 false success " +
		"false", "bad 0 false failure true", "good 1 false success false", "good 1 true success false"} {
		clienttest.Await(t, want, func() bool {
			if _, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil)); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			return reported[want] > 0
		})
	}
}

// Requests to one path are slow and reach their callers' deadlines; all others are answered. No
// instance is ejected, or on trial.
func TestSlowPathBlamesNobody(t *testing.T) {
	r, tr := setup(t, clienttest.Shared(t), httpdisc.WithPolicy(pick.RoundRobin()))
	for _, id := range []string{"a", "b", "c"} {
		register(t, r, serve(t, id, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow/report" {
				<-r.Context().Done()
			}
		}))
	}
	await(t, tr, 3)
	for range 30 {
		if _, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/fast", nil)); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		ctx, cancel := context.WithTimeout(context.Background(), 1200*time.Millisecond)
		_, _, _, err := do(tr, request(t, ctx, "GET", "http://orders/slow/report", nil))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		cancel()
		for _, st := range tr.Statuses("orders") {
			if st.Ejected || st.Trial {
				t.Errorf("%+v", st)
			}
		}
	}
}
