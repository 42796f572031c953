package console

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// The changes of each prefix are counted by one watch of all keys for all sessions that share a
// client, which runs while an overview requests it. The sizes of prefixes are measured on request,
// by one short read of each: the answer has the number of keys, and the first keys serve to
// estimate their size. Both are bounded in memory, and report what they left out.

const (
	// The rates are those of heatBuckets of heatStep.
	heatBuckets = 6
	heatStep    = 10 * time.Second
	// heatPrefixes is how many prefixes a bucket counts one by one; it counts the changes of all
	// others together.
	heatPrefixes = 1000
	// The prefix of a key is its first heatParts parts, which end with a slash, of at most
	// heatBytes.
	heatParts = 2
	heatBytes = 256
	// heatIdle is how long the count goes on after the last request.
	heatIdle = 30 * time.Second
	// prefixesShown is how many prefixes of each kind are sent.
	prefixesShown = 10

	// weighMost is how many prefixes are measured, within weighTime.
	weighMost = 200
	weighTime = 3 * time.Second
	// weighKeys is how many keys of a prefix are read, the first ones: at most 12 MiB with values
	// of 1.5 MiB.
	weighKeys = 8
	// weighDeep is how many levels with a single branch are skipped, for example "/" if all keys
	// begin with it.
	weighDeep = 8
)

// hotPrefix is a prefix and its changes per second.
type hotPrefix struct {
	Prefix []byte  `json:"prefix"`
	Rate   float64 `json:"rate"`
}

// heatReport is the result of the count.
type heatReport struct {
	Seconds  float64     `json:"seconds"` // the time that was counted
	Rate     float64     `json:"rate"`    // of all changes, per second
	Others   float64     `json:"others"`  // of the changes that were not counted by prefix, per second
	Prefixes []hotPrefix `json:"prefixes"`
	Error    string      `json:"error,omitempty"` // the reason why nothing is counted
}

type heatBucket struct {
	slot   int64
	counts map[string]int64
	others int64
}

// heat counts changes by prefix. Its goroutine ends heatIdle after the last request.
type heat struct {
	mu      sync.Mutex // guards what follows
	asked   time.Time
	running bool
	since   time.Time // when the count began; zero while there is none
	ring    [heatBuckets]heatBucket
	err     string
	failed  time.Time // when it ended with err

	weighing sync.Mutex // held by the goroutine that measures
	large    *weights   // guarded by mu
}

// prefixOf returns the prefix under which a key is counted: its first parts without its last one,
// since a key is not a prefix.
func prefixOf(key []byte) string {
	text := key[:min(heatBytes, len(key))]
	end := 0
	for range heatParts {
		from := end
		if from == 0 && len(text) > 0 && text[0] == '/' {
			from = 1 // a slash at the very beginning does not begin a part
		}
		i := slices.Index(text[from:], '/')
		if i < 0 {
			return string(text[:max(end, from)])
		}
		end = from + i + 1
	}
	return string(text[:end])
}

// add counts a change. The caller holds mu.
func (h *heat) add(at time.Time, key []byte) {
	slot := at.UnixMilli() / heatStep.Milliseconds()
	b := &h.ring[slot%heatBuckets]
	if b.slot != slot {
		*b = heatBucket{slot: slot, counts: make(map[string]int64)}
	}
	prefix := prefixOf(key)
	if _, ok := b.counts[prefix]; !ok && len(b.counts) >= heatPrefixes {
		b.others++
		return
	}
	b.counts[prefix]++
}

// report returns the recent counts. The caller holds mu.
func (h *heat) report(now time.Time) *heatReport {
	r := &heatReport{Prefixes: []hotPrefix{}, Error: h.err}
	if h.since.IsZero() {
		return r
	}
	slot := now.UnixMilli() / heatStep.Milliseconds()
	begin := time.UnixMilli((slot - heatBuckets + 1) * heatStep.Milliseconds())
	if h.since.After(begin) {
		begin = h.since
	}
	r.Seconds = now.Sub(begin).Seconds()
	if r.Seconds <= 0 {
		return r
	}
	sums := make(map[string]int64)
	all, others := int64(0), int64(0)
	for _, b := range h.ring {
		if b.slot <= slot-heatBuckets || b.slot > slot {
			continue
		}
		all, others = all+b.others, others+b.others
		for p, n := range b.counts {
			sums[p] += n
			all += n
		}
	}
	for p, n := range sums {
		r.Prefixes = append(r.Prefixes, hotPrefix{[]byte(p), float64(n) / r.Seconds})
	}
	slices.SortFunc(r.Prefixes, func(a, b hotPrefix) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), slices.Compare(a.Prefix, b.Prefix))
	})
	r.Prefixes = r.Prefixes[:min(prefixesShown, len(r.Prefixes))]
	r.Rate, r.Others = float64(all)/r.Seconds, float64(others)/r.Seconds
	return r
}

// hottest returns the recent counts, and keeps the count going for a while.
func (p *sampler) hottest(now time.Time) *heatReport {
	h := &p.heat
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = now
	if !h.running && now.Sub(h.failed) > heatIdle {
		h.running = p.c.group.Go(func(context.Context) { h.run(p.ctx, p.client) })
	}
	return h.report(now)
}

// run counts until there was no request for a while.
func (h *heat) run(ctx context.Context, client *clientv3.Client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.NewTicker(stillEvery)
	defer idle.Stop()
	changes := client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	for {
		select {
		case resp, ok := <-changes:
			if !ok || resp.Err() != nil {
				h.end(resp.Err())
				return
			}
			h.take(time.Now(), &resp)
		case now := <-idle.C:
			h.mu.Lock()
			over := now.Sub(h.asked) > heatIdle
			h.mu.Unlock()
			if err := mayRead(ctx, client, ""); over || err != nil {
				h.end(err)
				return
			}
		case <-ctx.Done():
			h.end(nil)
			return
		}
	}
}

func (h *heat) take(now time.Time, resp *clientv3.WatchResponse) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if resp.Created && h.since.IsZero() {
		h.since, h.err = now, ""
	}
	for _, ev := range resp.Events {
		h.add(now, ev.Kv.Key)
	}
}

// end drops the counts, and after a refusal the measurement. The next request starts again.
func (h *heat) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running, h.since, h.ring = false, time.Time{}, [heatBuckets]heatBucket{}
	if h.err = ""; err != nil {
		h.err, h.failed, h.large = err.Error(), time.Now(), nil
	}
}

// weight is the size of a prefix.
type weight struct {
	Prefix []byte `json:"prefix"`
	Keys   int64  `json:"keys"`
	// Bytes of keys and values are estimated from those of the Read keys.
	Bytes int64 `json:"bytes"`
	Read  int   `json:"read"`
}

// weights is the result of a measurement.
type weights struct {
	At       int64    `json:"at"`       // milliseconds since 1970
	Under    []byte   `json:"under"`    // the common prefix of all measured keys
	Keys     int64    `json:"keys"`     // all keys with that prefix
	Measured int      `json:"measured"` // how many prefixes
	All      bool     `json:"all"`      // there are no further prefixes
	Single   int      `json:"single"`   // keys of this level, which are in no prefix
	Prefixes []weight `json:"prefixes"` // the largest ones
}

// weigh measures the prefixes of the first level with more than one branch.
func weigh(ctx context.Context, kv clientv3.KV) (*weights, error) {
	end := time.Now().Add(weighTime)
	late := func() bool { return time.Now().After(end) }
	w := &weights{At: time.Now().UnixMilli(), Under: []byte{}, Prefixes: []weight{}}
	under, next := "", ""
	var list []child
	for range weighDeep {
		var err error
		if list, next, _, err = level(ctx, kv, under, "/", "", weighMost, late); err != nil {
			return nil, err
		}
		if len(list) != 1 || !list[0].Branch || next != "" {
			break
		}
		under = string(list[0].Key)
	}
	w.Under, w.All = []byte(under), next == ""
	all, err := kv.Get(ctx, under, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return nil, err
	}
	w.Keys = all.Count
	for _, c := range list {
		if !c.Branch {
			w.Single++
			continue
		}
		if late() {
			w.All = false
			break
		}
		one, err := weighOne(ctx, kv, c.Key)
		if err != nil {
			return nil, err
		}
		w.Measured++
		w.Prefixes = append(w.Prefixes, one)
	}
	slices.SortFunc(w.Prefixes, func(a, b weight) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Prefix, b.Prefix))
	})
	w.Prefixes = w.Prefixes[:min(prefixesShown, len(w.Prefixes))]
	return w, nil
}

func weighOne(ctx context.Context, kv clientv3.KV, prefix []byte) (weight, error) {
	one := weight{Prefix: prefix}
	got, err := kv.Get(ctx, string(prefix), clientv3.WithPrefix(), clientv3.WithLimit(weighKeys))
	if err != nil {
		return one, err
	}
	one.Keys, one.Read = got.Count, len(got.Kvs)
	for _, kv := range got.Kvs {
		one.Bytes += int64(len(kv.Key) + len(kv.Value))
	}
	if one.Read > 0 {
		one.Bytes = one.Bytes * one.Keys / int64(one.Read)
	}
	return one, nil
}

// prefixReport is the answer to a page.
type prefixReport struct {
	Hot   *heatReport `json:"hot"`
	Large *weights    `json:"large,omitempty"` // nil before the first measurement
	// LargeError is the reason why the user may not measure.
	LargeError string `json:"largeError,omitempty"`
}

// getPrefixes returns the prefixes with the most changes and the largest prefixes. With weigh=1 it
// measures these again, unless a measurement is running.
func getPrefixes(r *request) (any, error) {
	p := r.session.sample
	report := &prefixReport{Hot: p.hottest(time.Now())}
	if r.URL.Query().Get("weigh") == "1" && p.heat.weighing.TryLock() {
		defer p.heat.weighing.Unlock()
		ctx, cancel := r.limit(callTimeout)
		defer cancel()
		w, err := weigh(ctx, r.client)
		switch {
		case err == nil:
		case errors.Is(err, rpctypes.ErrPermissionDenied):
			report.LargeError = err.Error() // most users may not read all keys: that is not an error of the request
		default:
			return nil, err
		}
		p.heat.mu.Lock()
		p.heat.large = w // nil after a refusal
		p.heat.mu.Unlock()
	}
	p.heat.mu.Lock()
	defer p.heat.mu.Unlock()
	report.Large = p.heat.large
	return report, nil
}
