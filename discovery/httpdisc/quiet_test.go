package httpdisc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A process is frozen, and the requests, which are not repeated, have no deadline. Callers make one
// request after the other. Of each caller at most one request comes to the frozen process, and it
// is answered in the end.
func TestFrozenProcessWithoutDeadline(t *testing.T) {
	var servers []*clienttest.Process
	for range 3 {
		servers = append(servers, clienttest.StartProcess(t, processEnv))
	}
	var frozen atomic.Bool
	var met atomic.Int32
	base := new(http.Transport)
	defer base.CloseIdleConnections()
	counting := func(string) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if frozen.Load() && req.URL.Host == servers[1].Addr {
				met.Add(1)
			}
			return base.RoundTrip(req)
		})
	}
	r, tr := setup(
		t,
		clienttest.Shared(t),
		httpdisc.WithPolicy(pick.RoundRobin()),
		httpdisc.WithPicking(pick.WithEjection(pick.Ejection{Base: time.Hour})),
		httpdisc.WithTransport(counting),
	)
	for i, s := range servers {
		in := discovery.Instance{Service: "orders", ID: fmt.Sprint(i), Addresses: []string{s.Addr}}
		if _, err := r.Register(within(t), in); err != nil {
			t.Fatal(err)
		}
	}
	await(t, tr, 3)
	ctx := within(t)
	for range 3 { // all have answered this kind of request
		if err := post(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	servers[1].Signal(t, syscall.SIGSTOP)
	frozen.Store(true)
	late := make(chan error, 100)
	waiting := 0
	for range cap(late) {
		answer := make(chan error, 1)
		go func() { answer <- post(ctx, tr) }()
		select {
		case err := <-answer:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(5 * time.Second): // the request goes on
			waiting++
			go func() { late <- <-answer }()
		}
	}
	if n := met.Load(); n != 1 || waiting != 1 {
		t.Errorf("%d requests of the frozen one, %d slow ones", n, waiting)
	}
	servers[1].Signal(t, syscall.SIGCONT)
	for range waiting {
		if err := clienttest.Receive(t, "the answer", late); err != nil {
			t.Error(err)
		}
	}
}

// post makes a request that is not repeated.
func post(ctx context.Context, tr http.RoundTripper) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://orders/", strings.NewReader("x"))
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
