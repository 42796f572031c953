package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/wire"
)

// explain turns gRPC's error of p, an attempt or a stream, into the user's form; ended is the
// verdict that cancelled it, if one did.
func (c *Conn) explain(ctx context.Context, method string, p *balancer.Pick, ended *balancer.Ended, err error) error {
	if c.cut(ctx, err) {
		return etcderr.Closed(method)
	}
	if ended != nil && ctx.Err() == nil {
		e := ended.Err // shared by all calls on the connection
		return &e
	}
	if e := unpicked(ctx, method, p); e != nil {
		return e
	}
	return etcderr.From(ctx, err)
}

// unpicked returns the error of a call for which there was no member, nil if it ended for another
// reason.
func unpicked(ctx context.Context, method string, p *balancer.Pick) *etcderr.Error {
	if p.Got != nil || p.Err == nil {
		return nil
	}
	e := &etcderr.Error{
		Method: method, Status: codes.Unavailable, Cause: p.Err, Unexecuted: true, Misconfigured: p.Wrong,
	}
	switch ended := ctx.Err(); {
	case ended == nil:
		return e
	case p.Wrong && ended == context.DeadlineExceeded:
		return e.Late()
	}
	return nil
}

// tooLarge returns the error of a request above the limit, in gRPC's words; nil if the request is
// not.
func (c *Conn) tooLarge(method string, req any) error {
	n := wire.Size(req)
	if n <= c.cfg.MaxSend || c.cfg.MaxSend <= 0 {
		return nil
	}
	return &etcderr.Error{
		Method: etcderr.ShortMethod(method), Status: codes.ResourceExhausted, Unexecuted: true,
		Cause: status.Errorf(
			codes.ResourceExhausted,
			"trying to send message larger than max (%d vs. %d)",
			n,
			c.cfg.MaxSend,
		),
		Reason: fmt.Sprintf("the request has %d bytes, more than the client's limit of %d", n, c.cfg.MaxSend),
	}
}

// noToken: the call was not made because authentication failed.
type noToken struct{ err error }

func (e *noToken) Error() string { return e.err.Error() }
func (e *noToken) Unwrap() error { return e.err }

// refused has the token that the server did not accept.
type refused struct {
	_     [0]func() // not comparable, see balancer.conn
	err   error
	token *auth.Token
}

func (e *refused) Error() string { return e.err.Error() }
func (e *refused) Unwrap() error { return e.err }

// fail gives the last error its history.
func (k *call) fail(err error) error {
	switch e := err.(type) {
	case *refused:
		err = e.err
	case *noToken:
		err = etcderr.From(k.ctx, e.err)
	}
	if ended := k.ctx.Err(); ended != nil && etcderr.ClassOf(err) != etcderr.Final && !errors.Is(err, ended) {
		err = ended
	}
	if err == context.DeadlineExceeded && len(k.tried) > 0 {
		k.c.logEnded(k, err)
	}
	if shared, ok := err.(*etcderr.Error); ok {
		// A copy: the error of a login is shared by all calls that waited for it, and it
		// is among the attempts listed here.
		e := *shared
		e.Method = etcderr.ShortMethod(k.method)
		if len(k.tried) > 0 {
			e.Tried = k.tried
		}
		e.Unexecuted = e.Unexecuted && !k.uncertain
		return &e
	}
	return err
}

// logEvery bounds the rate of log lines about calls that reached their deadline.
const logEvery = time.Second

// logEnded logs the details of a bare context error, which cannot have them.
func (c *Conn) logEnded(k *call, err error) {
	now, last := time.Now().UnixNano(), c.lastLog.Load()
	if now-last < int64(logEvery) || !c.lastLog.CompareAndSwap(last, now) || c.cfg.Log == nil {
		return
	}
	e := etcderr.Error{Reason: err.Error(), Tried: k.tried}
	c.cfg.Log.Warn(
		"call ended by its context",
		zap.String("method", etcderr.ShortMethod(k.method)),
		zap.String("detail", e.Error()),
		zap.String("members", c.cfg.Set.Explain()),
	)
}
