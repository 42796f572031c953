package httpdisc

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/discovery/pick"
)

// paused is how late the end of a deadline may be noticed. Later, this process stood still rather
// than the instance.
const paused = 250 * time.Millisecond

// witness sees whether an attempt came as far as the instance, and whether the caller's own body
// broke it off: a header that is none, or a body that cannot be read, says nothing of an instance.
type witness struct {
	reached atomic.Bool // a connection to the instance was there, or was tried
	broken  atomic.Bool // the body's Read failed
}

// watch returns the request to send, which out's own must not be.
func (w *witness) watch(out *http.Request) *http.Request {
	ctx := httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
		ConnectStart: func(string, string) { w.reached.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { w.reached.Store(true) },
	})
	out = out.WithContext(ctx)
	if out.Body != nil && out.Body != http.NoBody {
		out.Body = &watchedBody{ReadCloser: out.Body, w: w}
	}
	return out
}

// outcome is what an attempt says about the instance; callers: it failed by the caller's doing.
func (w *witness) outcome(req *http.Request, resp *http.Response, err error) (o pick.Outcome, callers bool) {
	switch {
	case err == nil && unable(resp.StatusCode):
		return pick.Failure, false
	case err == nil:
		return pick.Success, false
	case w.broken.Load() || !w.reached.Load():
		return pick.Ignored, true
	case cancelled(req):
		// The timeout of an http.Client shows as a cancelled request, before the context has ended.
		end, ok := req.Context().Deadline()
		if late := time.Since(end); ok && late >= 0 && late <= paused {
			return pick.TimedOut, true
		}
		return pick.Ignored, true
	}
	return pick.Failure, false
}

// cancelled reports that the caller has given a request up, or that its time is up.
func cancelled(req *http.Request) bool {
	select {
	case <-req.Context().Done():
		return true
	//lint:ignore SA1019 http.Client sets it
	case <-req.Cancel:
		return true
	default:
		return false
	}
}

type watchedBody struct {
	io.ReadCloser
	w      *witness
	closed atomic.Bool // what is read then is no fault of the body's
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() {
		b.w.broken.Store(true)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}
