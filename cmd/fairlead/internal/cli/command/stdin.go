package command

import (
	"context"
	"io"
)

// Stdin is standard input for a command that reads it itself: a read ends when ctx does. The
// system's read cannot be cancelled: it ends with the process.
func (a *App) Stdin(ctx context.Context) io.Reader { return untilDone{ctx, a.Env.Stdin} }

type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(b []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	own := make([]byte, len(b)) // if ctx ends first, b belongs to the caller again
	done := make(chan result, 1)
	go func() {
		n, err := u.r.Read(own)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return copy(b, own[:r.n]), r.err
	case <-u.ctx.Done():
		return 0, context.Cause(u.ctx)
	}
}
