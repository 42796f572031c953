package httpdisc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// dripping is a body that its caller produces slowly.
type dripping struct{ left int }

func (d *dripping) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	d.left--
	time.Sleep(50 * time.Millisecond) // the caller is slow
	return copy(p, "hello"), nil
}

// endless is a body without an end, available at once.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// suspects returns the instances that are ejected or on trial.
func suspects(tr *httpdisc.Transport) (list []string) {
	for _, s := range tr.Statuses("orders") {
		if s.Ejected || s.Trial {
			list = append(list, s.Instance.ID)
		}
	}
	return list
}

// An instance need not answer before it has the whole request: the caller's slow body blames no
// instance. Once it has the body, or while it reads nothing, its own time runs.
func TestSlowUploadBlamesNobody(t *testing.T) {
	const short = 1500 * time.Millisecond
	upload := func(body io.Reader) func(t *testing.T, ctx context.Context, tr *httpdisc.Transport) error {
		return func(t *testing.T, ctx context.Context, tr *httpdisc.Transport) error {
			_, _, _, err := do(tr, request(t, ctx, "POST", "http://orders/", body))
			return err
		}
	}
	for name, c := range map[string]struct {
		opt     httpdisc.Option
		limit   time.Duration
		send    func(t *testing.T, ctx context.Context, tr *httpdisc.Transport) error
		works   bool // the request is answered
		blames  bool
		refuses bool // the instances do not read the body
		stands  bool // the instances read the body and do not answer
		first   bool // their usual latency is not known
	}{
		"its deadline": {limit: short, send: upload(&dripping{60})},
		"nothing comes": {limit: short, send: func(t *testing.T, ctx context.Context, tr *httpdisc.Transport) error {
			r, w := io.Pipe()
			defer w.Close()
			return upload(r)(t, ctx, tr)
		}},
		"nothing comes of the first": {limit: short, first: true,
			send: func(t *testing.T, _ context.Context, tr *httpdisc.Transport) (err error) {
				for range 3 {
					r, w := io.Pipe()
					defer w.Close()
					err = errors.Join(err, upload(r)(t, clienttest.Within(t, short/3), tr))
				}
				return err
			}},
		"timeout of the client": {limit: clienttest.Long,
			send: func(t *testing.T, ctx context.Context, tr *httpdisc.Transport) error {
				resp, err := (&http.Client{Transport: tr, Timeout: short}).Do(request(t, ctx, "POST", "http://orders/",
					&dripping{60}))
				if err == nil {
					resp.Body.Close()
				} else if e, ok := err.(interface{ Timeout() bool }); ok && e.Timeout() {
					return context.DeadlineExceeded
				}
				return err
			}},
		"timeout of attempts": {opt: httpdisc.WithAttemptTimeout(500 * time.Millisecond), limit: clienttest.Long,
			works: true, send: func(t *testing.T, ctx context.Context, tr *httpdisc.Transport) error {
				req := request(t, ctx, "PUT", "http://orders/", &dripping{30})
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(&dripping{30}), nil }
				_, _, _, err := do(tr, req)
				return err
			}},
		"hedging": {opt: httpdisc.WithHedging(100 * time.Millisecond), limit: clienttest.Long, works: true,
			send: func(t *testing.T, ctx context.Context, tr *httpdisc.Transport) error {
				req := request(t, ctx, "PUT", "http://orders/", &dripping{60})
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(&dripping{10}), nil }
				_, _, _, err := do(tr, req)
				return err
			}},
		"it has it all":          {limit: 2 * short, blames: true, send: upload(&dripping{10}), stands: true},
		"it takes nothing of it": {limit: 5 * time.Second, blames: true, send: upload(endless{}), refuses: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := []httpdisc.Option{
				httpdisc.WithPolicy(pick.RoundRobin()),
				httpdisc.WithPicking(pick.WithEjection(pick.Ejection{Failures: 1})),
			}
			if c.opt != nil {
				opts = append(opts, c.opt)
			}
			r, tr := setup(t, clienttest.Shared(t), opts...)
			stop := make(chan struct{})
			for _, id := range []string{"a", "b", "c"} {
				s := &server{
					name: id,
					Server: httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						if r.Method == "GET" {
							return
						}
						if !c.refuses {
							_, _ = io.Copy(io.Discard, r.Body)
						}
						if c.refuses || c.stands {
							<-stop
						}
					})),
				}
				t.Cleanup(s.Close)
				register(t, r, s)
			}
			t.Cleanup(func() { close(stop) })
			await(t, tr, 3)
			for i := 0; i < 30 && !c.first; i++ { // so that their latencies are known
				if _, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil)); err != nil {
					t.Fatal(err)
				}
			}
			err := c.send(t, clienttest.Within(t, c.limit), tr)
			if c.works && err != nil || !c.works && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			if got := suspects(tr); c.blames != (len(got) > 0) {
				t.Errorf("%v are ejected or on trial", got)
			}
		})
	}
}
