package recipe

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

// until calls wait with a context that ends with the claim too. The error then says that the claim
// has ended.
func until(ctx context.Context, claim *concurrency.Claim, wait func(context.Context) error) error {
	wctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(claim.Context(), func() { cancel(context.Cause(claim.Context())) })()
	err := wait(wctx)
	if err != nil && ctx.Err() == nil && claim.Context().Err() != nil {
		return context.Cause(claim.Context())
	}
	return err
}
