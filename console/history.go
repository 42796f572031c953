package console

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// historyMost is how many revisions of a key are shown, the latest ones.
	historyMost = 1000
	// historyBytes is how many bytes of their values are sent along; a page can request older
	// values one by one.
	historyBytes = 4 << 20
	// historyTime bounds a replay, which a server reads from disk.
	historyTime = 10 * time.Second
	// historyAsk is how often the server is asked for its progress.
	historyAsk = 200 * time.Millisecond
	// historyQuiet ends a replay if the other side does not report progress, as etcd's proxy does
	// not.
	historyQuiet = 2 * time.Second
)

// revision is one state of a key, or its deletion.
type revision struct {
	Mod     int64  `json:"mod"`
	Deleted bool   `json:"deleted,omitempty"`
	Value   []byte `json:"value,omitempty"`
	Left    bool   `json:"left,omitempty"` // the value is left out, but can be read
	Size    int    `json:"size"`
	Create  int64  `json:"create,omitempty"`
	Version int64  `json:"version,omitempty"`
	Lease   string `json:"lease,omitempty"`
}

// history is what is left of a key's history.
type history struct {
	Key       []byte     `json:"key"`
	Revision  int64      `json:"revision"`
	Compacted int64      `json:"compacted"` // changes before this revision are compacted
	Revisions []revision `json:"revisions"` // the latest first
	Dropped   int        `json:"dropped"`   // older revisions that exist but are not shown
	Complete  bool       `json:"complete"`  // false if time ran out

	present int64 // the mod revision of the key at Revision; 0 if it did not exist
	held    int   // bytes of values since the last trim
}

// getHistory replays a key by a watch from the server's oldest revision: reads alone do not find
// revisions before a deletion.
func getHistory(r *request) (any, error) {
	key, err := r.bytes("key")
	if err != nil {
		return nil, err
	}
	if len(key) == 0 {
		return nil, badRequest("a key is needed")
	}
	ctx, cancel := r.limit(historyTime)
	defer cancel()
	got, err := r.client.Get(ctx, string(key))
	if err != nil {
		return nil, err
	}
	h := &history{Key: key, Revision: got.Header.Revision}
	if len(got.Kvs) > 0 {
		h.present = got.Kvs[0].ModRevision
	}
	// On a stream of its own: etcd reports no progress for a stream on which a watch met a
	// compaction.
	err = h.replay(clientv3.WithRequireLeader(ctx), r.client, 1)
	if err != nil && h.Compacted > 0 {
		// The state at the compaction still exists, but its event may not.
		if old, err := r.client.Get(ctx, string(key), clientv3.WithRev(h.Compacted)); err == nil && len(old.Kvs) > 0 {
			h.add(old.Kvs[0].ModRevision, &clientv3.Event{Kv: old.Kvs[0]})
		}
		err = h.replay(ctx, r.client, h.Compacted)
	}
	if err != nil && r.Context().Err() == nil && ctx.Err() == nil {
		return nil, err
	}
	if len(h.Revisions) == 0 && len(got.Kvs) > 0 { // time ran out
		h.add(got.Kvs[0].ModRevision, &clientv3.Event{Kv: got.Kvs[0]})
	}
	h.finish()
	return h, nil
}

// replay watches the key from a revision on until it has seen all up to h.Revision.
func (h *history) replay(ctx context.Context, client *clientv3.Client, from int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := client.Watch(
		ctx,
		string(h.Key),
		clientv3.WithRev(from),
		clientv3.WithProgressNotify(),
		clientv3.WithCreatedNotify(),
	)
	tick := time.NewTicker(historyAsk)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case resp, ok := <-changes:
			if !ok {
				return ctx.Err()
			}
			if err := resp.Err(); err != nil {
				h.Compacted = resp.CompactRevision
				return err
			}
			last = time.Now()
			for _, ev := range resp.Events {
				if ev.Kv.ModRevision > h.Revision {
					h.Complete = true
					return nil
				}
				h.add(ev.Kv.ModRevision, ev)
			}
			if resp.Created {
				_ = client.RequestProgress(ctx) // it is requested again below
			}
			if resp.IsProgressNotify() && resp.Header.Revision >= h.Revision || h.present > 0 && h.last() >= h.present {
				h.Complete = true
				return nil
			}
		case now := <-tick.C:
			if now.Sub(last) > historyQuiet {
				return nil
			}
			_ = client.RequestProgress(ctx) // a failure shows in the watch
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *history) last() int64 {
	if len(h.Revisions) == 0 {
		return 0
	}
	return h.Revisions[len(h.Revisions)-1].Mod
}

// add adds an event; events come in order.
func (h *history) add(mod int64, ev *clientv3.Event) {
	if mod <= h.last() {
		return
	}
	v := revision{Mod: mod, Deleted: ev.Type == clientv3.EventTypeDelete}
	if !v.Deleted {
		kv := ev.Kv
		v.Value, v.Size, v.Create, v.Version, v.Lease = kv.Value, len(
			kv.Value,
		), kv.CreateRevision, kv.Version, leaseName(
			kv.Lease,
		)
	}
	h.Revisions = append(h.Revisions, v)
	if h.held += v.Size; len(h.Revisions) >= 2*historyMost || h.held > 2*historyBytes {
		h.trim()
	}
}

// trim drops the oldest revisions, and the values of old ones.
func (h *history) trim() {
	if n := len(h.Revisions) - historyMost; n > 0 {
		h.Dropped += n
		h.Revisions = append([]revision(nil), h.Revisions[n:]...)
	}
	total := 0
	h.held = 0
	for i := len(h.Revisions) - 1; i >= 0; i-- {
		v := &h.Revisions[i]
		if total += len(v.Value); total > historyBytes {
			v.Value, v.Left = nil, v.Size > 0
		}
	}
}

// finish puts the latest revision first.
func (h *history) finish() {
	h.trim()
	for i, j := 0, len(h.Revisions)-1; i < j; i, j = i+1, j-1 {
		h.Revisions[i], h.Revisions[j] = h.Revisions[j], h.Revisions[i]
	}
	if h.Revisions == nil {
		h.Revisions = []revision{}
	}
}
