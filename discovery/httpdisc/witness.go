package httpdisc

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/discovery/pick"
)

// paused is how late the end of a deadline may be noticed. If it is noticed later, this process was
// paused rather than the instance.
const paused = 250 * time.Millisecond

// witness observes whether an attempt reached the instance, and what the caller's part in it was:
// an invalid header, or a body that cannot be read or has not been read to its end, proves nothing
// about an instance.
type witness struct {
	reached atomic.Bool // a connection to the instance existed, or was tried
	broken  atomic.Bool // the body's Read failed
	sent    progress
}

// watch returns the request to send, a copy of out.
func (w *witness) watch(out *http.Request) *http.Request {
	ctx := httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
		ConnectStart: func(string, string) { w.reached.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { w.reached.Store(true) },
	})
	out = out.WithContext(ctx)
	if out.Body == nil || out.Body == http.NoBody {
		return out
	}
	out.Body = w.body(ctx, out.Body)
	if again := out.GetBody; again != nil { // the transport sends the body again if its connection was lost
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err == nil {
				w.sent.renew()
				body = w.body(ctx, body)
			}
			return body, err
		}
	}
	return out
}

// outcome returns what an attempt shows about the instance; callers: the caller caused the failure.
func (w *witness) outcome(req *http.Request, resp *http.Response, err error) (o pick.Outcome, callers bool) {
	switch {
	case err == nil && unable(resp.StatusCode):
		return pick.Failure, false
	case err == nil:
		return pick.Success, false
	case w.broken.Load() || !w.reached.Load():
		return pick.Ignored, true
	case cancelled(req):
		// The timeout of an http.Client appears as a cancelled request, before the context has
		// ended.
		end, ok := req.Context().Deadline()
		_, held := w.sent.instances()
		if late := time.Since(end); ok && late >= 0 && late <= paused && !held {
			return pick.TimedOut, true
		}
		return pick.Ignored, true
	}
	return pick.Failure, false
}

// cancelled reports whether the caller has cancelled a request, or its time is over.
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

// stalled is how long an instance may read nothing of a body before that is its fault: a slow
// network with full buffers transfers some within that time.
const stalled = 3 * time.Second

// progress is the state of a request's body. It is zero for a request without a body.
type progress struct {
	mu      sync.Mutex
	reading bool      // a Read of the caller's body is under way
	ended   bool      // the body has been read to its end
	at      time.Time // when the last Read ended; zero: none has
}

func (p *progress) read() {
	p.mu.Lock()
	p.reading = true
	p.mu.Unlock()
}

func (p *progress) got(end bool) {
	p.mu.Lock()
	p.reading, p.ended, p.at = false, end, time.Now()
	p.mu.Unlock()
}

func (p *progress) renew() {
	p.mu.Lock()
	p.reading, p.ended, p.at = false, false, time.Time{}
	p.mu.Unlock()
}

// instances returns when the instance's own time began, zero if with the attempt; held: it has not
// begun, since the body is still being sent.
func (p *progress) instances() (since time.Time, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reading || !p.ended && !p.at.IsZero() && time.Since(p.at) < stalled {
		return time.Time{}, true
	}
	return p.at, false
}

// body watches a body. It closes the body when ctx ends: net/http waits for a Read under way, and
// that of a pipe ends only when it is closed.
func (w *witness) body(ctx context.Context, of io.ReadCloser) io.ReadCloser {
	b := &watchedBody{ReadCloser: of, w: w, over: ctx.Err}
	b.closing = sync.OnceValue(func() error {
		b.closed.Store(true)
		return of.Close()
	})
	b.stop = context.AfterFunc(ctx, func() { _ = b.closing() })
	return b
}

type watchedBody struct {
	io.ReadCloser
	w       *witness
	closed  atomic.Bool  // a failed Read is not the body's fault then
	over    func() error // the reason why the body is not needed any more
	closing func() error
	stop    func() bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.sent.read()
	n, err := b.ReadCloser.Read(p)
	b.w.sent.got(err == io.EOF)
	if err == nil || err == io.EOF {
		return n, err
	}
	if over := b.over(); over != nil {
		return n, over
	}
	if !b.closed.Load() {
		b.w.broken.Store(true)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.stop()
	return b.closing()
}
