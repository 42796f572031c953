package agent

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

const (
	// maxBody is more than a record may have.
	maxBody = 128 << 10
	// bodyWithin is how long a body may take to arrive.
	bodyWithin = 10 * time.Second
	// answerWithin is how long etcd has for a request. It is at most LeastTTL, so that an instance
	// does not lapse while it is being registered.
	answerWithin = 4 * time.Second
)

//go:embed openapi.json
var document []byte

// api is the HTTP API.
type api struct {
	mux     *http.ServeMux
	client  *clientv3.Client
	format  discovery.Format
	base    string
	feeds   *feeds
	knowers []knower
	book    *book
	streams chan struct{} // a token for each open stream
	ending  context.Context
	end     context.CancelFunc
	listed  listing

	planeStreams func() int // counts the streams of xDS
}

func newAPI(client *clientv3.Client, format discovery.Format, base string, f *feeds, b *book) *api {
	a := &api{
		mux:          http.NewServeMux(),
		client:       client,
		format:       format,
		base:         base,
		feeds:        f,
		knowers:      []knower{f},
		book:         b,
		streams:      make(chan struct{}, mostStreams),
		planeStreams: func() int { return 0 },
	}
	a.ending, a.end = context.WithCancel(context.Background())
	const instance = "/v1/services/{service}/instances/{id}"
	for pattern, h := range map[string]handler{
		"GET /healthz":                    a.health,
		"GET /v1/prometheus":              a.targets,
		"GET /v1/services":                a.list,
		"GET /v1/services/{service}":      a.get,
		"GET /v1/services/{service}/pick": a.pick,
		"GET " + instance:                 a.getInstance,
		"PUT " + instance:                 a.put,
		"DELETE " + instance:              a.remove,
		"POST " + instance + "/renew":     a.renew,
		"POST " + instance + "/drain":     a.drain,
		"/":                               nothing,
	} {
		a.mux.Handle(pattern, h)
	}
	a.mux.HandleFunc("GET /v1/services/{service}/events", a.events)
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	})
	a.mux.Handle("GET /metrics", a.metrics())
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := readBody(w, r); err != nil {
		fail(w, err)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// handler returns an answer that is encoded as JSON, and its status.
type handler func(r *http.Request) (status int, answer any, err error)

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, answer, err := h(r)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, status, answer)
}

func nothing(*http.Request) (int, any, error) {
	return 0, nil, &apiError{
		http.StatusNotFound,
		"path",
		"there is no such path, or it does not take this method; see /openapi.json",
	}
}

// apiError is an answer that names what is wrong.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.message }

type errorAnswer struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// judge returns the answer for an error.
func judge(err error) *apiError {
	var own *apiError
	var none *pick.NoInstancesError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, discovery.ErrInvalid):
		return &apiError{http.StatusBadRequest, "invalid", err.Error()}
	case errors.Is(err, discovery.ErrTaken):
		return &apiError{http.StatusConflict, "taken", err.Error()}
	case errors.Is(err, discovery.ErrReadOnly):
		return &apiError{http.StatusConflict, "read_only", err.Error()}
	case errors.Is(err, errUnknown):
		return &apiError{http.StatusNotFound, "unknown", err.Error()}
	case errors.Is(err, errBusy), errors.Is(err, errFull):
		return &apiError{http.StatusTooManyRequests, "busy", err.Error()}
	case errors.As(err, &none):
		return &apiError{http.StatusServiceUnavailable, "no_instances", err.Error()}
	case clientv3.Code(err) == codes.PermissionDenied:
		return &apiError{http.StatusForbidden, "etcd_permission", err.Error()}
	}
	return &apiError{http.StatusServiceUnavailable, "etcd", err.Error()}
}

func fail(w http.ResponseWriter, err error) {
	e := judge(err)
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	reply(w, e.status, errorAnswer{errorDetail{e.code, e.message}})
}

// streamed is an answer that encodes itself part by part.
type streamed interface{ encode(to io.Writer) error }

func reply(w http.ResponseWriter, status int, answer any) {
	if answer == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A write fails only if the client has gone, which then needs no answer.
	if one, ok := answer.(streamed); ok {
		_ = one.encode(w)
	} else {
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// readBody reads the body into memory before anything is done, in bounded time.
func readBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyWithin)) // some writers do not support deadlines
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &apiError{
			http.StatusRequestEntityTooLarge,
			"too_large",
			fmt.Sprintf("a body has at most %d bytes", maxBody),
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &apiError{http.StatusRequestTimeout, "slow", "the body did not arrive within " + bodyWithin.String()}
	case err != nil:
		return &apiError{http.StatusBadRequest, "body", "the body broke off"}
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(text))
	return nil
}

// decode reads a body of JSON; unknown fields are an error.
func decode(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &apiError{http.StatusUnsupportedMediaType, "content_type", "the body must be application/json"}
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows it")
		}
	}
	if err != nil {
		return &apiError{http.StatusBadRequest, "json", "the body is not the JSON that is expected: " + err.Error()}
	}
	return nil
}
