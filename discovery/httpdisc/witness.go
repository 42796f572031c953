package httpdisc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

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

// callers reports that the attempt failed by the caller's doing.
func (w *witness) callers(ctx context.Context, err error) bool {
	return err != nil && (w.broken.Load() || !w.reached.Load() || errors.Is(ctx.Err(), context.Canceled))
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
