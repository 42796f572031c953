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

// paused is how late the end of a deadline may be noticed. Later, this process stood still rather
// than the instance.
const paused = 250 * time.Millisecond

// witness sees whether an attempt came as far as the instance, and what the caller's own part in it
// was: a header that is none, or a body that cannot be read or is not read to its end yet, says
// nothing of an instance.
type witness struct {
	reached atomic.Bool // a connection to the instance was there, or was tried
	broken  atomic.Bool // the body's Read failed
	sent    progress
}

// watch returns the request to send, which out's own must not be.
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
	if again := out.GetBody; again != nil { // the transport sends it anew when its connection has gone
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
		_, held := w.sent.instances()
		if late := time.Since(end); ok && late >= 0 && late <= paused && !held {
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

// stalled is how long nothing was taken of a body until that is the instance's fault: a slow
// network, with all that it keeps in its buffers, takes some within that.
const stalled = 3 * time.Second

// progress is how far the body of a request is. That of one without a body is zero.
type progress struct {
	mu      sync.Mutex
	reading bool      // the caller is asked for more
	ended   bool      // there is no more
	at      time.Time // when a Read ended last; zero: none has
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

// instances reports when the instance's own time began, zero if with the attempt; held: it has not,
// as the body is still on its way.
func (p *progress) instances() (since time.Time, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reading || !p.ended && !p.at.IsZero() && time.Since(p.at) < stalled {
		return time.Time{}, true
	}
	return p.at, false
}

// body watches a body. It is closed when ctx ends: net/http waits for a Read that is under way, and
// one of a pipe ends in no other way.
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
	closed  atomic.Bool  // what is read then is no fault of the body's
	over    func() error // why nobody needs it any more
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
