package httpdisc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/internal/attempt"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req == nil:
		return nil, fmt.Errorf("httpdisc: %w: the request is nil", discovery.ErrInvalid)
	case t.err != nil:
		closeBody(req)
		return nil, t.err
	}
	name, ok, err := t.nameOf(req)
	if err == nil && !ok {
		return t.other.RoundTrip(req)
	}
	var s *service
	if err == nil {
		s, err = t.service(name)
	}
	if err != nil {
		closeBody(req)
		return nil, err
	}
	t.retries.Earn()
	t.hedges.Earn()
	c := &call{t: t, s: s, req: req, callers: req, name: name}
	if t.filterHeader != "" {
		c.filter = discovery.Filter(req.Header.Get(t.filterHeader))
	}
	return c.run()
}

// call is one request with its attempts.
type call struct {
	t       *Transport
	s       *service
	req     *http.Request // not changed by the caller while attempts go on
	callers *http.Request
	name    string
	// filter selects the request's instances; empty: all.
	filter discovery.Filter

	mu     sync.Mutex // guards what follows: attempts may overlap
	tried  []*discovery.Instance
	failed []string // the results of the attempts
	over   bool     // the caller has its answer
}

func (c *call) run() (*http.Response, error) {
	plan := attempt.Plan{Most: c.t.attempts, Retries: c.t.retries, Hedges: c.t.hedges}
	if c.repeatable() {
		plan.Limit, plan.Hedge = c.t.attemptTimeout, c.t.hedging
	}
	if plan.Limit > 0 || plan.Hedge > 0 {
		c.own()
		defer c.end()
	}
	r := attempt.Run(c.req.Context(), plan, c.try, func(r result) { discard(r.Value) })
	if r.Err != nil {
		return nil, c.explain(r.Err)
	}
	return r.Value, nil
}

// own makes a copy of the request for attempts that may go on after the caller has its answer: the
// caller may then change its own. Trailers stay shared: their values come with the body.
func (c *call) own() {
	c.req = c.callers.WithContext(c.callers.Context())
	url := *c.req.URL
	c.req.URL, c.req.Header = &url, c.req.Header.Clone()
	if body := c.req.GetBody; body != nil {
		c.req.GetBody = func() (io.ReadCloser, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.over {
				return nil, context.Canceled
			}
			return body()
		}
	}
}

// end marks that the caller is not asked for another body.
func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

type result = attempt.Result[*http.Response]

// try makes one attempt.
func (c *call) try(ctx context.Context, a *attempt.Attempt) result {
	out, done, err := c.next(ctx, a.Number > 0)
	if err != nil {
		if a.Number == 0 {
			closeBody(c.req)
		}
		a.Release()
		return result{Err: fmt.Errorf("httpdisc: service %q: %w", c.name, err), Verdict: attempt.None}
	}
	a.Begun()
	var seen witness
	resp, err := c.s.base.RoundTrip(seen.watch(out))
	o, callers := seen.outcome(c.req, resp, err)
	end := a.Ended()
	since, held := seen.sent.instances()
	switch {
	case end == attempt.Open || end == attempt.Outrun && o == pick.Success:
	case held:
		o = pick.Ignored
	case end == attempt.TooLong && (since.IsZero() || time.Since(since) >= c.t.attemptTimeout*9/10):
		o = pick.Unanswered
	default:
		o = pick.TimedOut
	}
	if done = done.Since(since); !c.brief() {
		done = done.Kind(kind(c.req))
	}
	done.Answered(o)
	if end != attempt.Open { // the header may just have come
		discard(resp)
		resp, err = nil, fmt.Errorf("no answer within %v: %w", c.t.attemptTimeout, context.DeadlineExceeded)
	}
	if err != nil {
		done.Release()
		a.Release()
		err = &attemptError{service: c.name, host: out.URL.Host, err: err}
	} else {
		resp.Request = c.callers // redirects are relative to it
		release(resp, done, a.Release)
	}
	why := err
	if err == nil && unable(resp.StatusCode) {
		why = fmt.Errorf("it answers %s", resp.Status)
	}
	done.Attempt(pick.AttemptInfo{Number: a.Number, Hedge: a.Hedge, Outcome: o, Err: why})
	r := result{Value: resp, Err: err}
	if end != attempt.Open || !callers && c.repeat(resp, err) {
		r.Verdict = attempt.Again
		c.note(out.URL.Host, resp, err)
	}
	return r
}

// next picks an instance and makes the request for it.
func (c *call) next(ctx context.Context, again bool) (*http.Request, pick.Done, error) {
	for skipped := 0; ; skipped++ {
		in, done, err := c.choose(ctx)
		if err != nil {
			if skipped > 0 { // seen only if nothing was sent: the answer or error stands else
				err = fmt.Errorf("none of %d instances has an address for %s: %w", skipped, c.req.URL.Scheme, err)
			}
			return nil, done, err
		}
		scheme, host := address(in, c.req.URL.Scheme)
		if host == "" {
			done.Report(pick.Ignored)
			continue
		}
		out, err := c.request(ctx, scheme, host, again)
		if err != nil {
			done.Report(pick.Ignored)
			return nil, done, err
		}
		if c.brief() {
			done = done.Kind(kind(c.req))
		}
		return out, done, nil
	}
}

// kind returns the first part of the path: the rest mostly names things.
func kind(req *http.Request) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	return first
}

// briefly is the longest body that is sent at once: there is room for it in the buffers of a
// connection.
const briefly = 16 << 10

// brief reports that the instance has the request as soon as it is sent. How long longer requests
// take to arrive is not known, so they do not count while they wait.
func (c *call) brief() bool {
	return c.req.Body == nil || c.req.Body == http.NoBody || c.req.GetBody != nil &&
		c.req.ContentLength > 0 && c.req.ContentLength <= briefly
}

// choose picks an instance that has not been tried.
func (c *call) choose(ctx context.Context) (*discovery.Instance, pick.Done, error) {
	c.mu.Lock()
	tried := slices.Clone(c.tried)
	c.mu.Unlock()
	in, done, err := c.s.pick(ctx, c.filter, tried)
	if err == nil {
		c.mu.Lock()
		c.tried = append(c.tried, in)
		c.mu.Unlock()
	}
	return in, done, err
}

// request returns the request to send: the caller's must not be changed.
func (c *call) request(ctx context.Context, scheme, host string, again bool) (*http.Request, error) {
	out := c.req.WithContext(ctx)
	url := *c.req.URL
	url.Scheme, url.Host = scheme, host
	out.URL = &url
	if out.Host == "" {
		out.Host = c.req.URL.Host
	}
	if again && c.req.GetBody != nil {
		body, err := c.req.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	return out, nil
}

// repeat reports whether the request may and should be repeated, if the budget permits it.
func (c *call) repeat(resp *http.Response, err error) bool {
	if err == nil && !unable(resp.StatusCode) || cancelled(c.req) {
		return false
	}
	if !c.again() {
		return false
	}
	return idempotent(c.req) || err != nil && unsent(err)
}

// again reports whether the body can be sent again.
func (c *call) again() bool {
	return c.req.Body == nil || c.req.Body == http.NoBody || c.req.GetBody != nil
}

// repeatable reports whether the request may be sent again whatever the outcome so far.
func (c *call) repeatable() bool { return idempotent(c.req) && c.again() }

// idempotent follows RFC 9110, section 9.2.2, and net/http for further requests.
func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}

// unsent reports whether there was no connection, so that nothing was sent.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// unable reports the statuses of an instance, or of a proxy before it, that cannot serve.
func unable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable ||
		status == http.StatusGatewayTimeout
}

// address returns the address at which an instance takes requests of a scheme, and the scheme to
// use; host is empty if there is none.
func address(in *discovery.Instance, want string) (scheme, host string) {
	best := 0
	for _, a := range in.Addresses {
		hp, err := discovery.HostPort(a)
		if err != nil {
			continue // a format may accept invalid addresses
		}
		s, _, isURL := strings.Cut(a, "://")
		rank := 0
		switch {
		case !isURL:
			rank, s = 2, want
		case s == want:
			rank = 3
		case s == "https":
			rank = 1
		}
		if rank > best {
			best, scheme, host = rank, s, hp
		}
	}
	return scheme, host
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// discardMost is the longest answer that is read to keep its connection: such an answer came with
// the header.
const discardMost = 1 << 10

// discard closes an answer that is not passed on.
func discard(resp *http.Response) {
	if resp == nil {
		return
	}
	if resp.ContentLength > 0 && resp.ContentLength <= discardMost {
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	resp.Body.Close()
}

// release ends the call for its instance, and the attempt's context, at the end of the answer.
func release(resp *http.Response, done pick.Done, end func()) {
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols: // a body that can be written to must stay as it is
		done.Release()
	case resp.Body == http.NoBody || resp.Body == nil:
		done.Release()
		end()
	default:
		resp.Body = &body{ReadCloser: resp.Body, done: done, end: end}
	}
}

// body calls release once, at its end or when it is closed.
type body struct {
	io.ReadCloser
	done     pick.Done
	end      func()
	released atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

func (b *body) Close() error {
	b.release()
	return b.ReadCloser.Close()
}

func (b *body) release() {
	if b.released.CompareAndSwap(false, true) {
		b.done.Release()
		b.end()
	}
}
