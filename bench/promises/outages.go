package main

// Rows 5 and 9: compaction, and no reachable member.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// picture is a consumer's view of a range.
type picture map[string]string

func (p picture) apply(r ours.WatchResponse) {
	for _, e := range r.Events {
		if e.Type == ours.EventTypeDelete {
			delete(p, string(e.Kv.Key))
		} else {
			p[string(e.Kv.Key)] = string(e.Kv.Value)
		}
	}
}

// wrong counts the keys that differ from etcd's.
func (p picture) wrong(kvs *ours.GetResponse) int {
	n, rest := 0, maps.Clone(p)
	for _, kv := range kvs.Kvs {
		if v, ok := rest[string(kv.Key)]; !ok || v != string(kv.Value) {
			n++
		}
		delete(rest, string(kv.Key))
	}
	return n + len(rest)
}

func compaction(ctx context.Context, t *trial) error {
	o, err := t.one(ours.Hooks{})
	if err != nil {
		return err
	}
	const keys = 300
	write := func(from, to int, v string) error {
		for i := from; i < to; i++ {
			if _, err := o.direct.Put(ctx, fmt.Sprintf("k/%04d", i), v); err != nil {
				return err
			}
		}
		return nil
	}
	if err := write(0, keys, "old"); err != nil {
		return err
	}
	before, err := o.direct.Get(ctx, "k/", ours.WithPrefix())
	if err != nil {
		return err
	}
	have := picture{}
	for _, kv := range before.Kvs {
		have[string(kv.Key)] = string(kv.Value)
	}
	w := ours.NewResumingWatcher(o.c, o.c)
	defer w.Close()
	ch := w.Watch(ctx, "k/", ours.WithPrefix(), ours.WithRev(before.Header.Revision+1))
	if err := write(0, 1, "live"); err != nil {
		return err
	}
	r, ok, err := receive(ctx, ch, patience)
	if err != nil || !ok {
		return fmt.Errorf("the watch does not begin: %v", err)
	}
	have.apply(r)

	// A third of the keys changes, a third goes, a third is new.
	o.m.Proxy().Cut()
	if err := write(0, 100, "new"); err != nil {
		return err
	}
	if _, err := o.direct.Delete(ctx, "k/0100", ours.WithRange("k/0200")); err != nil {
		return err
	}
	if err := write(keys, keys+100, "new"); err != nil {
		return err
	}
	last, err := o.direct.Put(ctx, "elsewhere", "v")
	if err != nil {
		return err
	}
	if _, err := o.direct.Compact(ctx, last.Header.Revision); err != nil {
		return err
	}
	if err := o.m.Proxy().Heal(); err != nil {
		return err
	}
	healed := time.Now()
	r, ok, err = receive(ctx, ch, patience)
	took := time.Since(healed)
	ended := 0
	if err != nil || !ok || r.Err() != nil {
		ended = 1
	}
	have.apply(r)
	if ended == 0 { // the watch goes on
		if err := write(1, 2, "later"); err != nil {
			return err
		}
		r, ok, err = receive(ctx, ch, patience)
		if err != nil || !ok || r.Synthesized {
			ended = 1
		}
		have.apply(r)
	}
	now, err := o.direct.Get(ctx, "k/", ours.WithPrefix())
	if err != nil {
		return err
	}
	t.under("resuming watch of %d keys, 300 changes and a compaction while it is cut off", keys)
	t.promise("watches ended", "", 0, float64(ended)).seen("ends")
	t.promise("keys that the consumer has otherwise than etcd", "", 0, float64(have.wrong(now)))
	t.show("difference delivered after reconnecting", "s", took.Seconds())
	return nil
}

func failFast(ctx context.Context, t *trial) error {
	var eps []string
	for range 3 {
		p, err := faultnet.New("127.0.0.1:1")
		if err != nil {
			return err
		}
		t.later(p.Close)
		p.Refuse()
		eps = append(eps, p.Addr())
	}
	c, err := t.ours(ours.Config{Endpoints: eps})
	if err != nil {
		return err
	}
	const calls = 20
	var took []time.Duration
	vague := 0
	for range calls {
		began := time.Now()
		cctx, cancel := context.WithTimeout(ours.WithFailFast(ctx), 3*time.Second)
		_, err := c.Get(cctx, "k")
		cancel()
		took = append(took, time.Since(began))
		if err == nil || !strings.Contains(err.Error(), "refused") ||
			slices.ContainsFunc(eps, func(ep string) bool { return !strings.Contains(err.Error(), ep) }) {
			vague++
		}
	}
	t.under("all of 3 endpoints refused, %d calls with fail-fast, the first on a new client", calls)
	t.promise("slowest call", "ms", 50, ms(slices.Max(took))).seen("3000 ms")
	t.promise("errors that do not name each endpoint and why", "", 0, float64(vague)).seen("all")
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
