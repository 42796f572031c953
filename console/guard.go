package console

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/site"
)

// policy lets pages use only this console's own files, and lets no text become markup or script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types " +
	"'none'"

func secureHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// allowedHost refuses names of other sites that resolve to this address.
func (c *Console) allowedHost(host string) bool { return c.hosts[site.HostName(host)] }

var errForeign = &apiError{
	Status:  http.StatusForbidden,
	Code:    "cross_site",
	Message: "requests from another site are refused",
}

// handler returns an answer that is encoded as JSON.
type handler func(r *request) (any, error)

// maxBody is enough for a value of etcd's usual limit, 1.5 MiB, in base64.
const maxBody = 4 << 20

// maxSignIn is enough for a name and a password.
const maxSignIn = 16 << 10

// bodyTime is how long a body may take to arrive: enough for one of maxBody at 2 Mbit/s.
const bodyTime = 15 * time.Second

// limitBody cuts off a body that arrives too slowly, even if no handler reads it: the server reads
// the rest before the next request.
func limitBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // some writers do not support deadlines
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return badRequest("this request must not have a body")
	}
	return nil
}

// readBody reads a request's body into memory before anything is done for it, so that the time
// limit for the body does not bound the handler.
func readBody(w http.ResponseWriter, r *http.Request, most int64) error {
	if r.ContentLength == 0 {
		return nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &apiError{
			Status:  http.StatusRequestEntityTooLarge,
			Code:    "too_large",
			Message: "the request is too large",
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &apiError{
			Status:  http.StatusRequestTimeout,
			Code:    "slow",
			Message: "the request did not arrive within " + bodyTime.String(),
		}
	case err != nil:
		return badRequest("the request broke off")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(text))
	return nil
}

// public makes a handler that needs no session.
func (c *Console) public(f func(http.ResponseWriter, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.admit(r); err != nil {
			fail(w, err)
			return
		}
		if err := readBody(w, r, maxSignIn); err != nil {
			fail(w, err)
			return
		}
		answer(w, r, func() (any, error) { return f(w, r) })
	})
}

// admit checks the rules for all requests of the API.
func (c *Console) admit(r *http.Request) error {
	if site.Foreign(r) {
		return errForeign
	}
	if r.Method != http.MethodGet {
		// A form of another site cannot send this type.
		if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); r.ContentLength != 0 &&
			kind != "application/json" {
			return &apiError{
				Status:  http.StatusUnsupportedMediaType,
				Code:    "content_type",
				Message: "the body must be application/json",
			}
		}
	}
	return nil
}

// reads makes a handler that reads.
func (c *Console) reads(f handler) http.Handler { return c.private(maxBody, f, explain) }

// asks makes a handler that reads, with a body.
func (c *Console) asks(f handler) http.Handler { return c.private(maxBody, f, explain) }

// errReadOnly refuses all changes.
var errReadOnly = &apiError{Status: http.StatusForbidden, Code: "read_only", Message: "this console only reads"}

// writes makes a handler that changes something.
func (c *Console) writes(f handler) http.Handler { return c.writesUpTo(maxBody, f) }

// writesUpTo is writes with a body of at most most bytes.
func (c *Console) writesUpTo(most int64, f handler) http.Handler {
	if !c.readOnly {
		return c.private(most, f, written)
	}
	return c.private(most, func(*request) (any, error) { return nil, errReadOnly }, explain)
}

// operates makes a handler that changes something and reports its progress.
func (c *Console) operates(f func(http.ResponseWriter, *request)) http.Handler {
	return c.within(maxBody, func(w http.ResponseWriter, r *request) {
		if c.readOnly {
			fail(w, errReadOnly)
			return
		}
		f(w, r)
	})
}

// private makes a handler that needs a session; tell turns errors of etcd into those of the API.
func (c *Console) private(most int64, f handler, tell func(*clientv3.Client, error) error) http.Handler {
	return c.within(most, func(w http.ResponseWriter, r *request) {
		answer(w, r.Request, func() (any, error) {
			out, err := f(r)
			err = r.blame(err)
			r.end(err)
			if r.session.user != "" && errors.Is(err, rpctypes.ErrAuthFailed) {
				c.sessions.remove(c.cookieOf(r.Request), r.Header.Get(secretHeader)) // and what the session follows
				return nil, errNoUser
			}
			if err != nil {
				return nil, tell(r.client, err)
			}
			return out, nil
		})
	})
}

// errNoUser ends the session of a user who was deleted or whose password has changed.
var errNoUser = &apiError{
	Status:  http.StatusUnauthorized,
	Code:    "sign_in",
	Message: "etcd does not accept this user and password any more; sign in again",
}

// within admits requests with a session and within the user's share, and reads their body of at
// most most bytes.
func (c *Console) within(most int64, f func(http.ResponseWriter, *request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.admit(r); err != nil {
			fail(w, err)
			return
		}
		s, err := c.enter(r)
		if err != nil {
			fail(w, err)
			return
		}
		defer s.leave()
		if err := c.calls.take(s.user); err != nil {
			fail(w, err)
			return
		}
		defer c.calls.give(s.user)
		if err := readBody(w, r, most); err != nil {
			fail(w, err)
			return
		}
		f(w, &request{Request: r, session: s, client: s.client})
	})
}

// streaming makes a handler whose answer does not end.
func (c *Console) streaming(f func(http.ResponseWriter, *request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if site.Foreign(r) {
			fail(w, errForeign)
			return
		}
		s, err := c.enter(r)
		if err != nil {
			fail(w, err)
			return
		}
		defer s.leave()
		f(w, &request{Request: r, session: s, client: s.client})
	})
}
