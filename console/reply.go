package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fairlead-go/fairlead/clientv3"
)

// request is a request of the API within a session.
type request struct {
	*http.Request
	session *session
	client  *clientv3.Client
	change  *Change // the change that it has begun; nil if none
}

// limit returns the context for calls to etcd: it ends with the request or after d, and makes calls
// fail fast.
func (r *request) limit(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(clientv3.WithFailFast(r.Context()), d)
}

// bytes returns a parameter in base64, of either alphabet.
func (r *request) bytes(name string) ([]byte, error) {
	b, err := fromBase64(r.URL.Query().Get(name))
	if err != nil {
		return nil, badRequest(name + " is not base64")
	}
	return b, nil
}

// number returns a parameter that is a number of at least 0; 0 if it is missing.
func (r *request) number(name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, badRequest(name + " is not a number")
	}
	return n, nil
}

// apiError is an error in the form for pages.
type apiError struct {
	Status  int           `json:"-"`
	Code    string        `json:"code"`
	Message string        `json:"error"`
	Members []memberTrace `json:"members,omitempty"` // of a cluster that cannot be reached
	Detail  any           `json:"detail,omitempty"`
	By      string        `json:"by,omitempty"` // in a conflict: the user who made the latest change there through this console
}

// memberTrace is the reason why a member cannot be used.
type memberTrace struct {
	Endpoint string `json:"endpoint"`
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	Seconds  int64  `json:"seconds"` // how long that has lasted
}

func (e *apiError) Error() string { return e.Message }

func badRequest(why string) error {
	return &apiError{Status: http.StatusBadRequest, Code: "bad_request", Message: why}
}

// codeStatus maps gRPC's codes to HTTP's; others are 502: the error is etcd's.
var codeStatus = map[string]int{
	"InvalidArgument": http.StatusBadRequest, "OutOfRange": http.StatusGone, "NotFound": http.StatusNotFound,
	"PermissionDenied": http.StatusForbidden, "Unauthenticated": http.StatusForbidden,
	"FailedPrecondition": http.StatusConflict,
	"ResourceExhausted":  http.StatusInsufficientStorage, "Unavailable": http.StatusServiceUnavailable,
	"DeadlineExceeded": http.StatusGatewayTimeout,
}

// explain turns an error of etcd or of its client into one for pages.
func explain(client *clientv3.Client, err error) error {
	var own *apiError
	if errors.As(err, &own) {
		return own
	}
	e := &apiError{Status: http.StatusBadGateway, Message: err.Error()}
	code := clientv3.Code(err).String()
	if s, ok := codeStatus[code]; ok {
		e.Status = s
	}
	e.Code = code
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Status, e.Code, e.Message = http.StatusGatewayTimeout, "DeadlineExceeded", "etcd did not answer in time"
	case errors.Is(err, context.Canceled):
		e.Code, e.Message = "Canceled", "the request was cancelled"
	}
	if e.Status == http.StatusGatewayTimeout || e.Status == http.StatusServiceUnavailable {
		for _, m := range client.MemberStates() {
			t := memberTrace{
				Endpoint: m.Endpoint,
				State:    string(m.State),
				Seconds:  int64(time.Since(m.Since).Seconds()),
			}
			if m.LastErr != nil {
				t.Reason = m.LastErr.Error()
			}
			e.Members = append(e.Members, t)
		}
	}
	return e
}

// outcomeUnknown is the code of a write that may have been made.
const outcomeUnknown = "outcome_unknown"

// written explains the error of a write, which may have been made nevertheless.
func written(client *clientv3.Client, err error) error {
	var a *apiError
	if errors.As(err, &a) { // our own refusal
		return a
	}
	e := explain(client, err)
	if clientv3.OutcomeUnknown(err) && errors.As(e, &a) {
		c := *a
		c.Code, c.Message = outcomeUnknown, "it is not known whether this was done, or will be: "+a.Message
		return &c
	}
	return e
}

// answer runs a handler and writes what it returns.
func answer(w http.ResponseWriter, r *http.Request, f func() (any, error)) {
	out, err := f()
	if err != nil {
		fail(w, err)
		return
	}
	if out == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text, err := json.Marshal(out)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if len(text) >= worthGzip && acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		zipTo(w, text)
		return
	}
	_, _ = w.Write(text)
}

func fail(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{Status: http.StatusInternalServerError, Code: "Internal", Message: err.Error()}
	}
	text, _ := json.Marshal(e) // texts and numbers always can be
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(text)
}

// decode reads a body.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err != nil {
		return badRequest("the body is not what was expected: " + err.Error())
	}
	return nil
}

// printable returns untrusted text for an error message.
func printable(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	if !utf8.ValidString(s) {
		s = "?"
	}
	return strconv.QuoteToGraphic(s)
}
