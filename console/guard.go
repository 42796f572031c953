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

// policy lets pages use nothing but this console's own files, and no text become markup or script.
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

// allowedHost keeps out names that somebody else made to point here.
func (c *Console) allowedHost(host string) bool { return c.hosts[site.HostName(host)] }

var errForeign = &apiError{
	Status:  http.StatusForbidden,
	Code:    "cross_site",
	Message: "requests from another site are refused",
}

// handler answers a request of the API with something for JSON.
type handler func(r *request) (any, error)

// maxBody holds a value of etcd's usual limit of 1.5 MiB in base64.
const maxBody = 4 << 20

// maxSignIn holds a name and a password.
const maxSignIn = 16 << 10

// bodyTime is how long a body may take to arrive: one of maxBody does at 2 Mbit/s.
const bodyTime = 15 * time.Second

// limitBody cuts off a body that drips, also one that nobody reads: the server reads what is left
// of it before it takes the next request.
func limitBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // some writers know none
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return badRequest("this request must not have a body")
	}
	return nil
}

// readBody has a request's body in memory before anything is done for it, so that the time for it
// does not bound what is done.
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

// public is an API that needs no session.
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

// admit checks what holds for all requests of the API.
func (c *Console) admit(r *http.Request) error {
	if site.Foreign(r) {
		return errForeign
	}
	if r.Method != http.MethodGet {
		// A form of another site cannot have this type.
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

// reads is an API that reads.
func (c *Console) reads(f handler) http.Handler { return c.private(maxBody, f, explain) }

// asks is an API that reads, with a body.
func (c *Console) asks(f handler) http.Handler { return c.private(maxBody, f, explain) }

// errReadOnly refuses all that changes something.
var errReadOnly = &apiError{Status: http.StatusForbidden, Code: "read_only", Message: "this console only reads"}

// writes is an API that changes something.
func (c *Console) writes(f handler) http.Handler { return c.writesUpTo(maxBody, f) }

// writesUpTo is writes with a body of so many bytes at most.
func (c *Console) writesUpTo(most int64, f handler) http.Handler {
	if !c.readOnly {
		return c.private(most, f, written)
	}
	return c.private(most, func(*request) (any, error) { return nil, errReadOnly }, explain)
}

// operates is an API that changes something and tells how far it is.
func (c *Console) operates(f func(http.ResponseWriter, *request)) http.Handler {
	return c.within(maxBody, func(w http.ResponseWriter, r *request) {
		if c.readOnly {
			fail(w, errReadOnly)
			return
		}
		f(w, r)
	})
}

// private is an API that needs a session; tell turns errors of etcd into those of the API.
func (c *Console) private(most int64, f handler, tell func(*clientv3.Client, error) error) http.Handler {
	return c.within(most, func(w http.ResponseWriter, r *request) {
		answer(w, r.Request, func() (any, error) {
			out, err := f(r)
			err = r.blame(err)
			r.end(err)
			if r.session.user != "" && errors.Is(err, rpctypes.ErrAuthFailed) {
				c.sessions.remove(c.cookieOf(r.Request), r.Header.Get(secretHeader)) // and with it what it follows
				return nil, errNoUser
			}
			if err != nil {
				return nil, tell(r.client, err)
			}
			return out, nil
		})
	})
}

// errNoUser ends the session of a user who was deleted or has another password now.
var errNoUser = &apiError{
	Status:  http.StatusUnauthorized,
	Code:    "sign_in",
	Message: "etcd does not accept this user and password any more; sign in again",
}

// within lets in those who have a session, with their share of the requests and their body, of so
// many bytes at most, read.
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

// streaming is an API whose answer does not end.
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
