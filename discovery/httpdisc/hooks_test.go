package httpdisc_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Hooks are told of each attempt: the first, those that repeat, and hedges.
func TestAttemptsAreTold(t *testing.T) {
	var mu sync.Mutex
	told := make(map[string]int)
	hooks := pick.Hooks{Attempt: func(i pick.AttemptInfo) {
		mu.Lock()
		defer mu.Unlock()
		told[fmt.Sprint(i.Instance.ID, " ", i.Number, " ", i.Hedge, " ", i.Outcome, " ", i.Err != nil)]++
		if i.Took <= 0 {
			t.Errorf("%+v", i)
		}
	}}
	r, tr := setup(t, clienttest.Shared(t), httpdisc.WithPolicy(pick.Random()), httpdisc.WithHedging(100*time.Millisecond), httpdisc.WithPicking(pick.WithHooks(hooks), pick.WithoutEjection()))
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
	for _, want := range []string{"good 0 false success false", "bad 0 false failure true", "good 1 false success false", "good 1 true success false"} {
		clienttest.Await(t, want, func() bool {
			if _, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil)); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			return told[want] > 0
		})
	}
}
