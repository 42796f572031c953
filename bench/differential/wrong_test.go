package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/bench/differential/draw"
	"github.com/fairlead-go/fairlead/bench/differential/fairlead"
	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func start(t *testing.T, k kind) *rig {
	t.Helper()
	r, err := newRig(k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// wrongKV changes one thing.
type wrongKV struct {
	clientv3.KV
	get func(*clientv3.GetResponse, []clientv3.OpOption)
	put func(*clientv3.PutResponse)
	err func(error) error
}

func (kv wrongKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := kv.KV.Get(ctx, key, opts...)
	if err == nil && kv.get != nil {
		kv.get(r, opts)
	}
	if err != nil && kv.err != nil {
		err = kv.err(err)
	}
	return r, err
}

func (kv wrongKV) Put(
	ctx context.Context,
	key, value string,
	opts ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	r, err := kv.KV.Put(ctx, key, value, opts...)
	if err == nil && kv.put != nil {
		kv.put(r)
	}
	return r, err
}

// wrongWatcher loses deletions that come together with other events.
type wrongWatcher struct{ clientv3.Watcher }

func (w wrongWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	out := make(chan clientv3.WatchResponse)
	go func() {
		defer close(out)
		for r := range w.Watcher.Watch(ctx, key, opts...) {
			var kept []*clientv3.Event
			for _, e := range r.Events {
				if e.Type != clientv3.EventTypeDelete {
					kept = append(kept, e)
				}
			}
			r.Events = kept
			select {
			case out <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// TestWrongClient: a client that does one thing wrong is found, and the program that shows it is
// short.
func TestWrongClient(t *testing.T) {
	r := start(t, kinds[0])
	kv := func(w wrongKV) func(*clientv3.Client) {
		return func(c *clientv3.Client) { w.KV = c.KV; c.KV = w }
	}
	for _, w := range []struct {
		name, family string
		wrap         func(*clientv3.Client)
		steps        int    // at most
		shows        string // a step of the shortest program
	}{
		{"the former value is lost", "kv", kv(wrongKV{
			put: func(r *clientv3.PutResponse) { r.PrevKv = nil },
		}), 2, "WithPrevKV()"},
		{"More is lost", "kv", kv(wrongKV{
			get: func(r *clientv3.GetResponse, _ []clientv3.OpOption) { r.More = false },
		}), 3, "Get("},
		{"an empty list is not nil", "kv", kv(wrongKV{get: func(r *clientv3.GetResponse, _ []clientv3.OpOption) {
			if r.Kvs == nil {
				r.Kvs = make([]*mvccpb.KeyValue, 0)
			}
		}}), 1, "Get("},
		{"an error is wrapped", "compaction", kv(wrongKV{
			err: func(err error) error { return fmt.Errorf("get: %w", err) },
		}), 1, "Get("},
		{"deletions are lost", "watch", func(c *clientv3.Client) { c.Watcher = wrongWatcher{c.Watcher} }, 3, "Watch("},
	} {
		t.Run(w.name, func(t *testing.T) {
			r.sides[1] = fairlead.Side{Wrap: w.wrap}
			const most = 60 // programs; a few are enough
			for seed := range uint64(most) {
				p := draw.Program(w.family, seed+1)
				reports, err := r.run(p)
				if err != nil {
					t.Fatal(err)
				}
				unknown, _ := sift(p, report.Compare(reports[0], reports[1]))
				if len(unknown) == 0 {
					continue
				}
				short, diffs := r.shrink(p, unknown)
				text := explain(p, short, diffs)
				if len(short.Steps) > w.steps || !strings.Contains(short.String(), w.shows) {
					t.Errorf("not shrunk well:\n%s", text)
				}
				if !strings.Contains(text, fmt.Sprintf("seed %d", p.Seed)) {
					t.Errorf("the seed is missing:\n%s", text)
				}
				return
			}
			t.Errorf("not found in %d programs", most)
		})
	}
}
