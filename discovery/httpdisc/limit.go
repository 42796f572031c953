package httpdisc

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// limit bounds how long an attempt takes to the header of its answer. The zero limit bounds
// nothing.
type limit struct {
	after  time.Duration
	timer  *time.Timer
	cancel context.CancelFunc
}

// set returns the request to send; a d of 0 sets nothing.
func (l *limit) set(req *http.Request, d time.Duration) *http.Request {
	if d <= 0 {
		return req
	}
	ctx, cancel := context.WithCancel(req.Context())
	l.after, l.cancel = d, cancel
	l.timer = time.AfterFunc(d, cancel)
	return req.WithContext(ctx)
}

// within is what RoundTrip returned, or that it took too long. An answer whose header came in time
// may take as long as it likes.
func (l *limit) within(resp *http.Response, err error) (*http.Response, error) {
	if l.timer == nil {
		return resp, err
	}
	if !l.timer.Stop() { // too late, though the header may just have come
		discard(resp)
		return nil, fmt.Errorf("no answer within %v: %w", l.after, context.DeadlineExceeded)
	}
	if err != nil {
		l.cancel()
	}
	return resp, err
}

// end is called with the end of the answer.
func (l *limit) end() {
	if l.cancel != nil {
		l.cancel()
	}
}
