package fairlead

import (
	"context"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
)

// cached replaces the client's KV and Watcher by a cache of a prefix.
func (r *runner) cached(c *clientv3.Client, prefix string) error {
	ch, err := cache.New(c, []string{prefix})
	if err != nil {
		return err
	}
	r.closers = append(r.closers, func() {
		if err := ch.Close(); err != nil {
			r.rec.Add("close the cache: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	if err := ch.WaitReady(ctx); err != nil {
		return err
	}
	c.KV, c.Watcher = ch, ch
	return nil
}

// current waits until a cache has everything written so far: a watch on its copy begins with the
// first change that it does not have.
func (r *runner) current() error {
	ch, cached := r.clients[""].KV.(*cache.Cache)
	if !cached {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	_, err := ch.Sync(ctx)
	return err
}

// unsupported is always false: what the server refuses is compared.
func (r *runner) unsupported(error) bool { return false }
