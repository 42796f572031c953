package recipe

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Barrier is a key that makes others wait as long as it exists.
type Barrier struct {
	client *clientv3.Client
	key    string
}

// NewBarrier returns a barrier; it does not hold yet.
func NewBarrier(client *clientv3.Client, key string) *Barrier { return &Barrier{client, key} }

// Hold puts the key, so that Wait waits. The error is [ErrKeyExists] if the key exists already.
func (b *Barrier) Hold() error { return b.HoldContext(b.client.Ctx()) }

// HoldContext is Hold with a context.
func (b *Barrier) HoldContext(ctx context.Context) error {
	done, err := put(ctx, b.client, b.key, "")
	if err == nil && !done {
		err = ErrKeyExists
	}
	return err
}

// Release deletes the key, and all waiters go on. To release a barrier that is not held is no
// error.
func (b *Barrier) Release() error { return b.ReleaseContext(b.client.Ctx()) }

// ReleaseContext is Release with a context.
func (b *Barrier) ReleaseContext(ctx context.Context) error {
	_, err := b.client.Delete(ctx, b.key)
	return err
}

// Wait returns when the key does not exist, at once if there is none.
func (b *Barrier) Wait() error { return b.WaitContext(b.client.Ctx()) }

// WaitContext is Wait with a context.
func (b *Barrier) WaitContext(ctx context.Context) error {
	return awaitGone(ctx, b.client, b.key)
}

// awaitGone returns when a key does not exist, or has been absent for a moment.
func awaitGone(ctx context.Context, c *clientv3.Client, key string) error {
	for {
		r, err := c.Get(ctx, key, clientv3.WithKeysOnly())
		if err != nil || len(r.Kvs) == 0 {
			return err
		}
		err = follow(
			ctx,
			c,
			key,
			r.Header.Revision+1,
			func(ev *clientv3.Event) bool { return ev.Type == clientv3.EventTypeDelete },
		)
		if err == nil || ctx.Err() != nil || !lookAgain(err) {
			return err
		}
	}
}
