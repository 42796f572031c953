package command

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Reachable makes one small read, so that a command without a time limit ends with the reason if
// the cluster cannot be reached, instead of waiting for it. Any answer will do, even a refusal, but
// not a refused login: with a wrong password the command cannot succeed.
func (a *App) Reachable(ctx context.Context, c *clientv3.Client, key string) error {
	ctx, cancel := context.WithTimeout(ctx, a.Conn.CommandTimeout)
	defer cancel()
	if key == "" {
		key = "\x00"
	}
	_, err := c.Get(impatient{ctx}, key, clientv3.WithCountOnly(), clientv3.WithSerializable())
	if IsUnreachable(err) || errors.Is(err, context.Canceled) || clientv3.SameError(err, rpctypes.ErrAuthFailed) {
		return Ended(ctx, err)
	}
	return nil
}

// Ended returns the reason why a run ends rather than the error that a call makes of it.
func Ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
