package namespace

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// NewWatcher returns a Watcher on the keys of w that begin with prefix. Each watch
// has a goroutine. Close ends the watches and closes w too.
func NewWatcher(w clientv3.Watcher, prefix string) clientv3.Watcher {
	if prefix == "" {
		return w
	}
	return &watcher{Watcher: w, space: space(prefix), group: worker.New(context.Background())}
}

type watcher struct {
	clientv3.Watcher
	space space
	group *worker.Group
}

func (w *watcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	op := clientv3.OpWatch(key, opts...)
	op.WithKeyBytes(w.space.key(op.KeyBytes()))
	op.WithRangeBytes(w.space.end(op.RangeBytes()))
	in := w.Watcher.Watch(ctx, string(op.KeyBytes()), func(o *clientv3.Op) { *o = op })
	if ctx == nil {
		return in // closed, or with the watch's error
	}
	out := make(chan clientv3.WatchResponse, 1)
	if !w.group.Go(func(closing context.Context) { w.forward(ctx, closing, in, out) }) {
		select { // this Watcher is closed: pass on the wrapped one's last response
		case r := <-in:
			out <- w.space.stripWatch(r)
		default:
		}
		close(out)
	}
	return out
}

func (w *watcher) forward(ctx, closing context.Context, in clientv3.WatchChan, out chan<- clientv3.WatchResponse) {
	defer close(out)
	for r := range in {
		r = w.space.stripWatch(r)
		select {
		case out <- r:
		case <-ctx.Done():
			return
		case <-closing.Done():
			select { // there may be room for the last response
			case out <- r:
			default:
				return
			}
		}
	}
}

func (w *watcher) Close() error {
	err := w.Watcher.Close()
	w.group.Stop()
	return err
}
