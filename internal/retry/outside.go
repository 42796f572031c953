package retry

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Outside returns the options for a connection on which programs make calls of their own, beside
// those of a Conn. These calls are repeated only if the server refuses their token. Their streams
// log in first, since a stream cannot be repeated for the program.
func Outside(k *auth.Keeper) []grpc.DialOption {
	if k == nil || !k.Renews() {
		return nil
	}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(outsideCall(k)), grpc.WithChainStreamInterceptor(outsideStream(k)),
	}
}

// ours reports whether a call is an attempt of a Conn, which has its own care for tokens, or
// carries none.
func ours(ctx context.Context) bool { return balancer.PickOf(ctx) != nil || balancer.Bare(ctx) }

func outsideCall(k *auth.Keeper) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		if ours(ctx) {
			return call(ctx, method, req, reply, cc, opts...)
		}
		for n := 0; ; n++ {
			if err := k.Ensure(ctx); err != nil {
				return outsideError(ctx, err)
			}
			token := k.Token()
			err := call(ctx, method, req, reply, cc, opts...)
			if err == nil || n == maxRefreshes ||
				etcderr.ClassOf(err) != etcderr.Token && etcderr.Known(err) != rpctypes.ErrUserEmpty {
				return err
			}
			k.Invalidate(token)
		}
	}
}

func outsideStream(k *auth.Keeper) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer,
		opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		if !ours(ctx) {
			if err := k.Renew(ctx); err != nil {
				return nil, outsideError(ctx, err)
			}
		}
		return open(ctx, desc, cc, method, opts...)
	}
}

// outsideError gives an error of a login the form of gRPC, in which programs expect those of calls.
func outsideError(ctx context.Context, err error) error {
	if err == ctx.Err() {
		return status.FromContextError(err).Err()
	}
	return err
}
