package mirror

// Changes that do not fit into one request with the checkpoint: a single put in the source may have
// been as large as the server allows.

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// pieces applies ops one by one, and then moves the checkpoint. If it fails in between, a mirror
// that continues from the old checkpoint applies them again.
func (m *mirror) pieces(ctx context.Context, ops []clientv3.Op, to position) error {
	for _, op := range ops {
		err := rpctypes.ErrRequestTooLarge
		if len(ops) > 1 {
			err = m.mark.commit(ctx, m.target, m.mark.state.position, []clientv3.Op{op})
		}
		if errors.Is(err, rpctypes.ErrRequestTooLarge) {
			err = m.large(ctx, op)
		}
		if err != nil {
			return err
		}
	}
	return m.mark.commit(ctx, m.target, to, nil)
}

// large applies a change that does not fit beside the checkpoint. It sends it with the guard alone,
// since a late change fails once the checkpoint has changed; or, if even that is too large, by
// itself.
func (m *mirror) large(ctx context.Context, op clientv3.Op) error {
	r, err := patiently(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return m.target.Txn(ctx).If(m.mark.unchanged()).Then(op).Commit()
	})
	switch {
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return m.bare(ctx, op)
	case err == nil && !r.Succeeded:
		return errLate // or another mirror wrote the checkpoint: the next commit shows which
	}
	return err
}

// bare applies a change without a guard, since not even the guard fits.
func (m *mirror) bare(ctx context.Context, op clientv3.Op) error {
	_, err := patiently(ctx, func(ctx context.Context) (clientv3.OpResponse, error) { return m.target.Do(ctx, op) })
	if err != nil {
		return fmt.Errorf("mirror: key %q: %w", op.KeyBytes(), err)
	}
	return nil
}
