package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// watching follows all changes of the load and checks its events: every change of every key must
// come, in order, and once.
type watching struct {
	prefix string
	end    string // the key whose change ends it
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine that owns what follows has ended
	result watchResult
	err    error
}

type watchResult struct {
	seen, expected int
	longestGap     time.Duration
}

func startWatch(ctx context.Context, client *clientv3.Client, prefix string) (*watching, error) {
	now, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return nil, fmt.Errorf("read the revision: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{prefix: prefix, end: prefix + "end", cancel: cancel, done: make(chan struct{})}
	events := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1))
	go func() {
		defer close(w.done)
		w.err = w.follow(events)
	}()
	return w, nil
}

func (w *watching) follow(events clientv3.WatchChan) error {
	versions := map[string]int64{}
	var revision int64
	last := time.Now()
	for resp := range events {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("the watch has ended: %w", err)
		}
		for _, e := range resp.Events {
			key := string(e.Kv.Key)
			if key == w.end {
				return nil
			}
			w.result.seen++
			w.result.longestGap = max(w.result.longestGap, time.Since(last))
			last = time.Now()
			// Each put of the load is a revision of its own, and a key's versions count its puts.
			if e.Kv.ModRevision <= revision {
				return fmt.Errorf("the watch went back: revision %d after %d", e.Kv.ModRevision, revision)
			}
			if e.Kv.Version != versions[key]+1 {
				return fmt.Errorf("the watch saw version %d of %s after version %d", e.Kv.Version, key, versions[key])
			}
			revision, versions[key] = e.Kv.ModRevision, e.Kv.Version
		}
	}
	return errors.New("the watch has ended early")
}

// finish writes a last key, waits until the watch has seen it, and compares the events with what
// the cluster holds.
func (w *watching) finish(ctx context.Context, client *clientv3.Client) (watchResult, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	defer w.stop()
	all, err := client.Get(ctx, w.prefix, clientv3.WithPrefix())
	if err != nil {
		return watchResult{}, fmt.Errorf("read what was written: %w", err)
	}
	if _, err := client.Put(ctx, w.end, ""); err != nil {
		return watchResult{}, fmt.Errorf("put: %w", err)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return watchResult{}, errors.New("the watch did not see the last change")
	}
	for _, kv := range all.Kvs {
		w.result.expected += int(kv.Version)
	}
	return w.result, w.err
}

func (w *watching) stop() {
	w.cancel()
	<-w.done
}
