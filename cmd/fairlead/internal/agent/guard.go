package agent

import (
	"context"
	"net/http"
	"strings"

	"github.com/fairlead-go/fairlead/internal/site"
)

// access is what a request may do.
type access struct {
	all   bool // it came through the socket, whose mode decides who may connect
	grant grant
}

func (a access) writes(service string) bool { return a.all || a.grant.allows(service) }

type accessKey struct{}

// guard admits requests, and finds out what each may do.
type guard struct {
	tokens  *tokens // nil without a file of tokens
	private bool    // other machines reach it, so reading needs a token too
	socket  bool    // a unix socket
	hosts   map[string]bool
}

func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		a, err := g.admit(r)
		if err != nil {
			fail(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accessKey{}, a)))
	})
}

func (g *guard) admit(r *http.Request) (access, error) {
	if g.socket {
		return access{all: true}, nil
	}
	if !g.hosts[site.HostName(r.Host)] {
		return access{}, &apiError{
			http.StatusMisdirectedRequest,
			"host",
			"this is not a name of the agent; --host adds one",
		}
	}
	if site.Foreign(r) {
		return access{}, &apiError{http.StatusForbidden, "cross_site", "requests from another site are refused"}
	}
	header := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	switch {
	case header == "" && !g.private:
		return access{}, nil
	case header == "" || !strings.EqualFold(scheme, "Bearer"):
		return access{}, errNoToken
	}
	grant, ok := g.tokens.find(strings.TrimSpace(token))
	if !ok {
		return access{}, errNoToken
	}
	return access{grant: grant}, nil
}

var errNoToken = &apiError{http.StatusUnauthorized, "token", "a valid token is needed, as Authorization: Bearer TOKEN"}

// mayWrite returns an error if a request may not change a service.
func mayWrite(r *http.Request, service string) error {
	a, _ := r.Context().Value(accessKey{}).(access)
	switch {
	case a.writes(service):
		return nil
	case a.grant == nil:
		return errNoToken
	}
	return &apiError{http.StatusForbidden, "service", "the token may not write this service"}
}
