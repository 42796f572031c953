package agent

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// documented checks requests and answers against openapi.json.
type documented struct {
	router routers.Router
	// wrong says that the requests are meant to be wrong: only the answers are checked.
	wrong bool
	seen  map[string]bool // operations
}

func newDocumented(t testing.TB) *documented {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &documented{router: router, seen: make(map[string]bool)}
}

// check compares one exchange with openapi.json.
func (d *documented) check(t testing.TB, r *http.Request, body []byte, answer *http.Response, text []byte) {
	t.Helper()
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		if answer.StatusCode < 400 {
			t.Errorf("%s %s: %v, but it is answered with %d", r.Method, r.URL, err, answer.StatusCode)
		}
		return
	}
	d.seen[route.Operation.OperationID] = true
	q := r.Clone(t.Context())
	q.Body = io.NopCloser(bytes.NewReader(body))
	in := &openapi3filter.RequestValidationInput{
		Request:    q,
		PathParams: params,
		Route:      route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
		},
	}
	if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil && !d.wrong {
		t.Errorf("the request %s %s %s is not as documented: %v", r.Method, r.URL, body, err)
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in,
		Status:                 answer.StatusCode,
		Header:                 answer.Header,
		Options:                in.Options,
	}
	out.SetBodyBytes(text)
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("the answer to %s %s, %d %s, is not as documented: %v", r.Method, r.URL, answer.StatusCode, text, err)
	}
}
