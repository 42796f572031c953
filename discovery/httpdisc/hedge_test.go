package httpdisc_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// One of three processes freezes under load: no repeatable request is lost, and with a time limit
// each caller is delayed at most once.
func TestFrozenProcessMeetsEachCallerOnce(t *testing.T) {
	// More than a running process needs on a busy machine: otherwise that would be ejected instead
	// of the frozen one. An ejected process stays ejected, however long later calls take.
	const limit = 5 * time.Second
	forGood := httpdisc.WithPicking(pick.WithEjection(pick.Ejection{Base: time.Hour}))
	for name, opt := range map[string]httpdisc.Option{
		"limit": httpdisc.WithAttemptTimeout(limit), "hedging": httpdisc.WithHedging(limit / 50),
	} {
		t.Run(name, func(t *testing.T) {
			var frozen atomic.Bool
			const callers = 8
			met := make([]atomic.Int32, callers)
			var servers []*clienttest.Process
			for range 3 {
				servers = append(servers, clienttest.StartProcess(t, processEnv))
			}
			counting := func(string) http.RoundTripper {
				return roundTripper(func(req *http.Request) (*http.Response, error) {
					if i, ok := req.Context().Value(callerKey{}).(int); ok && frozen.Load() &&
						req.URL.Host == servers[1].Addr {
						met[i].Add(1)
					}
					return http.DefaultTransport.RoundTrip(req)
				})
			}
			r, tr := setup(
				t,
				clienttest.Shared(t),
				httpdisc.WithPolicy(pick.RoundRobin()),
				opt,
				forGood,
				httpdisc.WithTransport(counting),
			)
			for i, s := range servers {
				if _, err := r.Register(within(t), discovery.Instance{
					Service: "orders", ID: fmt.Sprint(i), Addresses: []string{s.Addr},
				}); err != nil {
					t.Fatal(err)
				}
			}
			await(t, tr, 3)
			var load sync.WaitGroup
			var total atomic.Int64
			for i := range callers {
				load.Go(func() {
					for left := 100; left > 0; {
						if frozen.Load() {
							left--
						}
						ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), callerKey{}, i),
							clienttest.Long)
						if _, _, status, err := do(tr, request(t, ctx, "GET", "http://orders/", nil)); err != nil ||
							status != 200 {
							t.Errorf("%d, %v", status, err)
							left = 0
						}
						cancel()
						total.Add(1)
					}
				})
			}
			clienttest.Await(t, "the load runs", func() bool { return total.Load() > 100 })
			servers[1].Signal(t, syscall.SIGSTOP)
			frozen.Store(true)
			load.Wait()
			for i := range met {
				if n := met[i].Load(); name == "limit" && n > 1 {
					t.Errorf("caller %d met the frozen one %d times", i, n)
				}
			}
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		})
	}
}

type callerKey struct{}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A request does not wait for a slow instance, whose late answer does no harm. A body is sent to
// both.
func TestHedgedRequestDoesNotWaitForASlowInstance(t *testing.T) {
	r, tr := setup(
		t,
		clienttest.Shared(t),
		httpdisc.WithHedging(50*time.Millisecond),
		httpdisc.WithPolicy(pick.RoundRobin()),
		httpdisc.WithPicking(pick.WithoutEjection()),
	)
	const takes = 4 * time.Second
	cancelled := make(chan struct{}, 100)
	slow := serve(t, "slow", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			cancelled <- struct{}{}
		case <-time.After(takes): // the instance is slow
		}
	})
	fast := serve(t, "fast")
	register(t, r, slow)
	register(t, r, fast)
	await(t, tr, 2)
	for range 10 {
		begin := time.Now()
		name, text, status, err := do(tr, request(t, within(t), "PUT", "http://orders/x", strings.NewReader("abc")))
		if name != "fast" || text != "PUT /x abc" || status != 200 || err != nil {
			t.Errorf("%s: %q, %d, %v", name, text, status, err)
		}
		if time.Since(begin) >= takes {
			t.Error("the slow one was waited for")
		}
	}
	if slow.calls.Load() > 0 {
		clienttest.Receive(t, "the end of the slow attempt", cancelled)
	} else {
		t.Error("the slow one was not called")
	}
	// Requests that must not be executed twice wait.
	before := slow.calls.Load() + fast.calls.Load()
	for range 2 {
		_, _, _, err := do(tr, request(t, within(t), "POST", "http://orders/x", strings.NewReader("abc")))
		if err != nil {
			t.Error(err)
		}
	}
	if n := slow.calls.Load() + fast.calls.Load() - before; n != 2 {
		t.Errorf("%d calls for 2 requests", n)
	}
}

// The error of a request has the result of each attempt.
func TestErrorsNameEachAttempt(t *testing.T) {
	r, tr := setup(t, clienttest.Shared(t))
	one, two := serve(t, "a"), serve(t, "b")
	register(t, r, one)
	register(t, r, two)
	await(t, tr, 2)
	one.Close()
	two.Close()
	_, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil))
	if err == nil || !strings.Contains(err.Error(), one.addr()) || !strings.Contains(err.Error(), two.addr()) {
		t.Errorf("%v", err)
	}
}

func ExampleWithHedging() {
	cli := clienttest.ForExample()
	defer cli.Close()

	// A service of two instances, one of which never answers.
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	serve := func(id string, h http.HandlerFunc) *httptest.Server {
		s := httptest.NewServer(h)
		if _, err := registrar.Register(context.Background(),
			discovery.Instance{Service: "bread", ID: id, Addresses: []string{s.URL}}); err != nil {
			log.Fatal(err)
		}
		return s
	}
	defer serve("bread-1", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }).Close()
	defer serve("bread-2", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "rye") }).Close()

	directory := discovery.NewDirectory(cli)
	defer directory.Close()
	transport := httpdisc.New(directory, httpdisc.WithHedging(50*time.Millisecond))
	defer transport.Close()
	client := &http.Client{Transport: transport}
	for range 3 {
		resp, err := client.Get("http://bread/today")
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(text))
	}
	// Output:
	// rye
	// rye
	// rye
}
