package keys

import (
	"context"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// getStream prints the plain format chunk by chunk; the other formats need the whole answer.
// --command-timeout does not apply: the time depends on the number of keys.
func getStream(ctx context.Context, a *command.App, args []string, f *getFlags) error {
	key, opts, err := f.options(args)
	if err != nil {
		return command.Usage(err)
	}
	return a.Stream(ctx, func(ctx context.Context, c *clientv3.Client) error {
		ctx, cancel := context.WithCancel(ctx) // ends the stream when a write fails
		defer cancel()
		if err := a.Reachable(ctx, c, key); err != nil {
			return err
		}
		err := printStream(ctx, a, c, key, opts, f)
		if clientv3.Code(err) != codes.Unimplemented {
			return err
		}
		// The server is older than 3.7, or servers do not stream in this order; nothing was printed
		// yet.
		resp, err := c.Get(ctx, key, opts...)
		if err != nil {
			return command.Ended(ctx, err)
		}
		return printGet(a.Printer(), resp, f)
	})
}

func printStream(
	ctx context.Context,
	a *command.App,
	c *clientv3.Client,
	key string,
	opts []clientv3.OpOption,
	f *getFlags,
) error {
	chunks, err := c.GetStream(ctx, key, opts...)
	if err != nil {
		return err
	}
	p := a.Printer()
	if p.Format != command.FormatPlain {
		resp, err := clientv3.GetStreamToGetResponse(chunks)
		if err != nil {
			return command.Ended(ctx, err)
		}
		return printGet(p, resp, f)
	}
	for chunk := range chunks {
		if err := chunk.Err(); err != nil {
			return command.Ended(ctx, err)
		}
		part := (*clientv3.GetResponse)(chunk.RangeResponse)
		if f.countOnly && part.Header == nil {
			continue // the count comes with the last chunk
		}
		printGetPlain(p, part, f)
		if err := p.Flush(); err != nil {
			return err
		}
	}
	return nil
}
