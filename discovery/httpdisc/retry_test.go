package httpdisc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A repeatable request is repeated on another instance, with its body.
func TestRepeatableRequestGoesToAnotherInstance(t *testing.T) {
	r, tr := setup(
		t,
		clienttest.Shared(t),
		httpdisc.WithPolicy(pick.RoundRobin()),
		httpdisc.WithPicking(pick.WithoutEjection()),
	)
	good, bad := serve(t, "good"), serve(t, "bad")
	bad.status.Store(http.StatusServiceUnavailable)
	register(t, r, good)
	register(t, r, bad)
	await(t, tr, 2)
	for _, c := range []struct {
		method, body string
		header       string
		repeated     bool
	}{
		{"GET", "", "", true}, {"HEAD", "", "", true}, {"PUT", "abc", "", true}, {"DELETE", "", "", true},
		{"OPTIONS", "", "", true},
		{"POST", "abc", "", false}, {"PATCH", "", "", false}, {"POST", "abc", "Idempotency-Key", true},
	} {
		failed := 0
		for range 10 {
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			req := request(t, within(t), c.method, "http://orders/x", body)
			if c.header != "" {
				req.Header.Set(c.header, "1")
			}
			name, text, status, err := do(tr, req)
			switch {
			case err != nil:
				t.Errorf("%s: %v", c.method, err)
			case status != 200:
				failed++
			case name != "good" || c.method != "HEAD" && text != c.method+" /x "+c.body:
				t.Errorf("%s: %s says %q", c.method, name, text)
			}
		}
		if c.repeated && failed != 0 || !c.repeated && failed != 5 {
			t.Errorf("%s %s: %d of 10 failed", c.method, c.header, failed)
		}
	}
	// A body that cannot be read again is sent once.
	failed := 0
	for range 10 {
		if _, _, status, _ := do(tr,
			request(t, within(t), "PUT", "http://orders/x", io.MultiReader(strings.NewReader("abc")))); status != 200 {
			failed++
		}
	}
	if failed != 5 {
		t.Errorf("%d failed", failed)
	}
	// All instances fail: the answer is passed on, and no instance gets the request twice.
	good.status.Store(http.StatusBadGateway)
	before := good.calls.Load() + bad.calls.Load()
	if _, text, status, err := do(tr, request(t, within(t), "GET", "http://orders/x", nil)); status < 502 ||
		!strings.Contains(text, "the test wants it") ||
		err != nil {
		t.Errorf("%v %v %v", text, status, err)
	}
	if n := good.calls.Load() + bad.calls.Load() - before; n != 2 {
		t.Errorf("%d calls", n)
	}
	// No instance listens: even a request that is not idempotent is repeated, since nothing was
	// sent.
	good.status.Store(0)
	bad.Server.Close()
	tr.CloseIdleConnections() // on an old connection the request may have been sent
	for range 10 {
		_, text, _, err := do(tr, request(t, within(t), "POST", "http://orders/x", strings.NewReader("abc")))
		if err != nil || text != "POST /x abc" {
			t.Errorf("%v %v", text, err)
		}
	}
}

// One of three is killed under load: no repeatable request is lost.
func TestKilledInstanceLosesNoRepeatableRequest(t *testing.T) {
	for name, p := range map[string]pick.Policy{
		"RoundRobin": pick.RoundRobin(), "P2C": pick.P2C(), "Hash": pick.Hash(),
	} {
		t.Run(name, func(t *testing.T) { killed(t, p, name == "RoundRobin") })
	}
}

// killed also checks that the instance is ejected, if the policy would call it again.
func killed(t *testing.T, p pick.Policy, ejected bool) {
	r, tr := setup(t, clienttest.Shared(t), httpdisc.WithPolicy(p))
	servers := []*server{serve(t, "a"), serve(t, "b"), serve(t, "c")}
	for _, s := range servers {
		register(t, r, s)
	}
	await(t, tr, 3)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var load sync.WaitGroup
	var sent, lost atomic.Int32
	for range 8 {
		load.Go(func() {
			for ctx.Err() == nil {
				_, _, status, err := do(tr, request(t, within(t), "GET", "http://orders/", nil))
				if err != nil || status != 200 {
					lost.Add(1)
					t.Errorf("%v, %v", status, err)
				}
				sent.Add(1)
			}
		})
	}
	more := func(n int32) {
		t.Helper()
		goal := sent.Load() + n
		clienttest.Await(t, "requests", func() bool { return sent.Load() > goal })
	}
	more(300)
	servers[1].Listener.Close()
	servers[1].CloseClientConnections()
	if ejected {
		clienttest.Await(t, "it is ejected", func() bool { return tr.Statuses("orders")[1].Ejected })
	}
	more(300)
	cancel()
	load.Wait()
	t.Logf("%d requests, %d lost", sent.Load(), lost.Load())
}

// A draining instance gets no new requests, and its answers are read to the end.
func TestDrainingInstanceGetsNoNewRequests(t *testing.T) {
	r, tr := setup(t, clienttest.Shared(t), httpdisc.WithPolicy(pick.RoundRobin()))
	goOn := make(chan struct{})
	slow := serve(t, "slow", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begin ")
		w.(http.Flusher).Flush()
		if r.Method == "GET" {
			<-goOn
		}
		io.WriteString(w, "end")
	})
	g := register(t, r, slow)
	await(t, tr, 1)
	resp, err := tr.RoundTrip(request(t, within(t), "GET", "http://orders/", nil))
	if err != nil {
		t.Fatal(err)
	}
	other := serve(t, "other")
	register(t, r, other)
	await(t, tr, 2)
	if err := g.Drain(within(t), clienttest.Long); err != nil {
		t.Fatal(err)
	}
	before := slow.calls.Load()
	for range 20 {
		if name, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil)); err != nil ||
			name != "other" {
			t.Errorf("%v, %v", name, err)
		}
	}
	if slow.calls.Load() != before {
		t.Error("it got requests")
	}
	close(goOn)
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "begin end" {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
}

// A cancelled request ends at once, is not repeated, and blames no instance. A request that reaches
// its deadline blames its instance.
func TestCancelledRequestEndsAtOnceAndBlamesNobody(t *testing.T) {
	r, tr := setup(
		t,
		clienttest.Shared(t),
		httpdisc.WithPicking(pick.WithEjection(pick.Ejection{Failures: 1, Base: time.Hour})),
	)
	entered := make(chan struct{}, 10)
	hang := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			entered <- struct{}{}
			<-r.Context().Done()
		}
	}
	one, two := serve(t, "a", hang), serve(t, "b", hang)
	register(t, r, one)
	register(t, r, two)
	await(t, tr, 2)
	begun := one.calls.Load() + two.calls.Load()
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 1)
	go func() {
		_, _, _, err := do(tr, request(t, ctx, "GET", "http://orders/", nil))
		done <- err
	}()
	clienttest.Receive(t, "the request", entered)
	cancel()
	if err := clienttest.Receive(t, "its end", done); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	sent := int32(1)
	clienttest.Await(t, "one is ejected", func() bool {
		short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		sent++
		_, _, _, err := do(tr, request(t, short, "GET", "http://orders/", nil))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		n := 0
		for _, s := range tr.Statuses("orders") {
			if s.Ejected {
				n++
			}
		}
		return n == 1 // not if this process stood still at the deadline: that blames nobody either
	})
	if n := one.calls.Load() + two.calls.Load() - begun; n > sent {
		t.Errorf("%d calls for %d requests", n, sent)
	}
}

// Mistakes of the caller blame no instance, and are not repeated.
func TestCallersMistakesBlameNobody(t *testing.T) {
	r, tr := setup(t, clienttest.Shared(t))
	one, two := serve(t, "one"), serve(t, "two")
	register(t, r, one)
	register(t, r, two)
	await(t, tr, 2)
	before := one.calls.Load() + two.calls.Load()
	for range 20 {
		bad := request(t, within(t), "PUT", "http://orders/x", nil)
		bad.Header["Not A Header"] = []string{"x"}
		if _, err := tr.RoundTrip(bad); err == nil {
			t.Fatal("an invalid header was sent")
		}
		tooLarge := http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20))), 10)
		if resp, err := tr.RoundTrip(request(t, within(t), "PUT", "http://orders/x", tooLarge)); err == nil {
			resp.Body.Close()
			t.Fatal("a body that cannot be read was sent")
		}
	}
	for _, s := range tr.Statuses("orders") {
		if s.Ejected {
			t.Errorf("%s is ejected", s.Instance.ID)
		}
	}
	if n := one.calls.Load() + two.calls.Load() - before; n > 20 {
		t.Errorf("%d attempts of 20 requests whose bodies break off", n)
	}
	if _, text, _, err := do(tr, request(t, within(t), "GET", "http://orders/x", nil)); err != nil ||
		text != "GET /x " {
		t.Errorf("%q, %v", text, err)
	}
}

// A short deadline blames no instance, since none could have answered in time. A frozen instance is
// blamed, with the timeout of an http.Client too.
func TestShortDeadlineBlamesNoInstance(t *testing.T) {
	r, tr := setup(
		t,
		clienttest.Shared(t),
		httpdisc.WithPicking(pick.WithEjection(pick.Ejection{Failures: 1, Base: time.Hour})),
	)
	var frozen atomic.Bool
	const takes = 100 * time.Millisecond
	slow := func(w http.ResponseWriter, r *http.Request) {
		if frozen.Load() {
			<-r.Context().Done()
		}
		time.Sleep(takes) // the instance is slow
	}
	one, two := serve(t, "a", slow), serve(t, "b", slow)
	register(t, r, one)
	register(t, r, two)
	await(t, tr, 2)
	for range 20 {
		if _, _, _, err := do(tr, request(t, within(t), "POST", "http://orders/", nil)); err != nil {
			t.Fatal(err)
		}
	}
	ejected := func() (n int) {
		for _, s := range tr.Statuses("orders") {
			if s.Ejected {
				n++
			}
		}
		return n
	}
	hurried := &http.Client{Transport: tr, Timeout: takes / 4}
	before := one.calls.Load() + two.calls.Load()
	for range 20 {
		if resp, err := hurried.Get("http://orders/"); err == nil {
			resp.Body.Close()
			t.Error("a request was answered in time")
		}
	}
	if n := one.calls.Load() + two.calls.Load() - before; n > 20 {
		t.Errorf("%d attempts of 20 requests", n)
	}
	if n := ejected(); n > 0 {
		t.Errorf("%d are ejected", n)
	}
	frozen.Store(true)
	patient := &http.Client{Transport: tr, Timeout: 20 * takes}
	clienttest.Await(t, "one is ejected", func() bool { // unless this process stands still at the end
		if resp, err := patient.Get("http://orders/"); err == nil {
			resp.Body.Close()
			t.Error("the frozen instance has answered")
		}
		return ejected() == 1
	})
}

// With a limit for attempts, a frozen instance delays a repeatable request by the limit at most,
// and each of these is answered. After its header an answer may take longer.
func TestAttemptTimeout(t *testing.T) {
	const limit = 200 * time.Millisecond
	r, tr := setup(t, clienttest.Shared(t), httpdisc.WithAttemptTimeout(limit), httpdisc.WithPolicy(pick.RoundRobin()))
	one := serve(t, "frozen", func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			<-r.Context().Done()
		}
	})
	two := serve(t, "works", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		if r.URL.Path == "/long" {
			time.Sleep(2 * limit) // the instance is slow
		}
		io.WriteString(w, "all of it")
	})
	register(t, r, one)
	register(t, r, two)
	await(t, tr, 2)
	slow := 0
	for i := range 100 {
		path := "/"
		if i < 4 {
			path = "/long"
		}
		began := time.Now()
		name, text, _, err := do(tr, request(t, within(t), "GET", "http://orders"+path, nil))
		if err != nil || name != "works" || text != "all of it" {
			t.Fatalf("%s, %q, %v", name, text, err)
		}
		if i >= 4 && time.Since(began) >= limit {
			slow++
		}
	}
	if n := one.calls.Load(); n > 20 || slow > 20 {
		t.Errorf("%d calls of the frozen one, %d slow", n, slow)
	}
	// The limit does not apply to requests that must not be sent twice.
	_, err := tr.RoundTrip(request(t, clienttest.Within(t, 3*limit), "POST", "http://orders/", nil))
	if err != nil {
		t.Error(err)
	}
}
