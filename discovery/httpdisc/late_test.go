package httpdisc_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A caller that has closed its answer owns its request again, although a losing attempt still runs.
// That attempt sends the request as it was, and asks for no further body.
func TestRequestIsTheCallersAgain(t *testing.T) {
	for name, option := range map[string]httpdisc.Option{
		"hedge": httpdisc.WithHedging(time.Millisecond),
		"limit": httpdisc.WithAttemptTimeout(50 * time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			slow := &holding{
				reached: make(chan *http.Request, 1), open: make(chan struct{}), done: make(chan struct{}, 1),
			}
			r, tr := setup(t, clienttest.Shared(t), option, httpdisc.WithPolicy(pick.RoundRobin()),
				httpdisc.WithTransport(func(string) http.RoundTripper { return slow }))
			register(t, r, serve(t, "a"))
			register(t, r, serve(t, "b"))
			await(t, tr, 2)
			slow.next.Store(true)
			req := request(t, within(t), "PUT", "http://orders/first", strings.NewReader("abc"))
			req.Header.Set("Tenant", "mine")
			var bodies atomic.Int32
			again := req.GetBody
			req.GetBody = func() (io.ReadCloser, error) {
				bodies.Add(1)
				return again()
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(text) != "PUT /first abc" || resp.Request != req {
				t.Fatalf("%q, %v, for %p, not %p", text, err, resp.Request, req)
			}
			late := clienttest.Receive(t, "the attempt that lost", slow.reached)
			had := bodies.Load()
			req.Header.Set("Tenant", "another's")
			req.URL.Path = "/second"
			if late.Header.Get("Tenant") != "mine" || late.URL.Path != "/first" {
				t.Errorf("it sends %v for %s", late.Header, late.URL.Path)
			}
			if body, err := late.GetBody(); err == nil {
				body.Close()
				t.Error("it got a body")
			}
			if n := bodies.Load() - had; n != 0 {
				t.Errorf("the caller was asked for %d further bodies", n)
			}
			close(slow.open)
			req.Method, req.Body, req.GetBody = "GET", nil, nil // while the attempt goes on
			clienttest.Receive(t, "the end of the attempt that lost", slow.done)
		})
	}
}

// holding holds up one request for /first before it is sent, even if its context ends. A hedge of
// an earlier request may come just then.
type holding struct {
	next    atomic.Bool
	reached chan *http.Request
	open    chan struct{}
	done    chan struct{} // gets an element when the request that was held up has ended
}

func (h *holding) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/first" || !h.next.Swap(false) {
		return http.DefaultTransport.RoundTrip(req)
	}
	defer func() { h.done <- struct{}{} }()
	h.reached <- req
	<-h.open
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, context.Canceled
}
