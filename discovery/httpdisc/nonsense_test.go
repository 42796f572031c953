package httpdisc_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Invalid arguments are errors that name them, and nothing panics.
func TestInvalidArgumentsAreErrors(t *testing.T) {
	d := discovery.NewDirectory(clienttest.Shared(t))
	t.Cleanup(func() { d.Close() })
	for what, tr := range map[string]*httpdisc.Transport{
		"no directory":             httpdisc.New(nil),
		"a directory of no client": httpdisc.New(discovery.NewDirectory(nil)),
		"a nil option":             httpdisc.New(d, nil),
		"a nil policy":             httpdisc.New(d, httpdisc.WithPolicy(nil)),
		"a nil option of picking":  httpdisc.New(d, httpdisc.WithPicking(pick.WithWait(), nil)),
		"no transports":            httpdisc.New(d, httpdisc.WithTransport(nil)),
		"transports that are none": httpdisc.New(d,
			httpdisc.WithTransport(func(string) http.RoundTripper { return nil })),
		"no attempts":                httpdisc.New(d, httpdisc.WithAttempts(0)),
		"negative attempts":          httpdisc.New(d, httpdisc.WithAttempts(-1)),
		"far too many attempts":      httpdisc.New(d, httpdisc.WithAttempts(1<<40)),
		"a negative limit":           httpdisc.New(d, httpdisc.WithAttemptTimeout(-1)),
		"a negative hedge":           httpdisc.New(d, httpdisc.WithHedging(-1)),
		"a hedge of one attempt":     httpdisc.New(d, httpdisc.WithHedging(1), httpdisc.WithAttempts(1)),
		"a limit of one attempt":     httpdisc.New(d, httpdisc.WithAttemptTimeout(1), httpdisc.WithAttempts(1)),
		"a header of no name":        httpdisc.New(d, httpdisc.WithFilterHeader("")),
		"a header of two names":      httpdisc.New(d, httpdisc.WithFilterHeader("x y")),
		"an invalid picking":         httpdisc.New(d, httpdisc.WithPicking(pick.WithWarmUp(-1))),
		"a directory that is no use": httpdisc.New(discovery.NewDirectory(nil), httpdisc.WithSuffix(".service", nil)),
	} {
		_, err := tr.RoundTrip(request(t, within(t), "GET", "http://orders.service/", nil))
		if !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
		tr.CloseIdleConnections()
		if st := tr.Statuses("orders.service"); len(st) != 0 {
			t.Errorf("%s: %v", what, st)
		}
		if err := tr.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	tr := httpdisc.New(d)
	defer tr.Close()
	if _, err := tr.RoundTrip(nil); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("a nil request: %v", err)
	}
	if _, err := tr.RoundTrip(new(http.Request)); err == nil {
		t.Error("an empty request")
	}
}
