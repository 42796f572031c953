package etcd

import (
	"context"

	"github.com/go-kratos/kratos/v2/registry"

	"github.com/fairlead-go/fairlead/discovery"
)

// watcher follows a service. Only one goroutine should call Next.
type watcher struct {
	sub    *discovery.Subscription
	ctx    context.Context
	cancel context.CancelFunc
	begun  bool // Next has returned a list
}

func newWatcher(ctx context.Context, sub *discovery.Subscription) *watcher {
	w := &watcher{sub: sub}
	w.ctx, w.cancel = context.WithCancel(ctx)
	context.AfterFunc(w.ctx, sub.Close)
	return w
}

// Next implements [registry.Watcher]: it returns all instances whenever some have changed, and the
// first time as soon as there are any. While etcd is away it waits. After Stop, or when its
// context has ended, it returns the context's error; [discovery.ErrClosed] if the Registry or the
// client is closed.
func (w *watcher) Next() ([]*registry.ServiceInstance, error) {
	for {
		if _, err := w.sub.Next(w.ctx); err != nil {
			if w.ctx.Err() != nil {
				return nil, w.ctx.Err()
			}
			return nil, err
		}
		if all := list(w.sub.View()); w.begun || len(all) > 0 {
			w.begun = true
			return all, nil
		}
	}
}

// Stop implements [registry.Watcher].
func (w *watcher) Stop() error {
	w.cancel()
	w.sub.Close()
	return nil
}
