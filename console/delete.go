package console

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	previewKeys = 100
	// deleteChunk is how many keys one transaction deletes: a server does that in a few
	// milliseconds.
	deleteChunk = 1000
	// deleteTime bounds a deletion of many keys.
	deleteTime = 2 * time.Minute
)

// target is what a deletion is about: a key, or all keys that begin with it.
type target struct {
	Key    []byte `json:"key"`
	Prefix bool   `json:"prefix"`
	// Revision is the preview's revision, Count the number of keys in it.
	Revision int64 `json:"revision"`
	Count    int64 `json:"count"`
	// Typed is the prefix once more; it is needed for more than previewKeys keys.
	Typed []byte `json:"typed,omitempty"`
	// Keys replaces Key: single keys that are deleted together, with the revisions at which they
	// were shown.
	Keys []marked `json:"keys,omitempty"`
}

// marked is one of several keys.
type marked struct {
	Key []byte `json:"key"`
	Mod int64  `json:"mod"`
}

func (t *target) options(more ...clientv3.OpOption) []clientv3.OpOption {
	if t.Prefix {
		more = append(more, clientv3.WithPrefix())
	}
	return more
}

// preview is the keys that a deletion would delete, as of a revision.
type preview struct {
	Revision int64   `json:"revision"`
	Count    int64   `json:"count"`
	Keys     []found `json:"keys"` // the first of them
}

func readTarget(r *request) (*target, error) {
	t := new(target)
	if err := decode(r.Request, t); err != nil {
		return nil, err
	}
	if len(t.Key) == 0 && len(t.Keys) == 0 {
		return nil, badRequest("a key or a prefix is needed; the console does not delete all keys at once")
	}
	return t, nil
}

func postPreview(r *request) (any, error) {
	t, err := readTarget(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	return look(ctx, r.client, t, clientv3.WithLimit(previewKeys))
}

func look(ctx context.Context, kv clientv3.KV, t *target, opts ...clientv3.OpOption) (*preview, error) {
	got, err := kv.Get(ctx, string(t.Key), t.options(append(opts, clientv3.WithKeysOnly())...)...)
	if err != nil {
		return nil, err
	}
	p := &preview{Revision: got.Header.Revision, Count: got.Count, Keys: []found{}}
	for _, kv := range got.Kvs {
		p.Keys = append(
			p.Keys,
			found{
				Key:     kv.Key,
				Create:  kv.CreateRevision,
				Mod:     kv.ModRevision,
				Version: kv.Version,
			},
		)
	}
	return p, nil
}

// deletion is the result of a deletion.
type deletion struct {
	Deleted int64   `json:"deleted"`
	Changed []found `json:"changed,omitempty"` // some of the keys that have changed since the preview

	before []byte // the value of a single key
}

// postDelete deletes the previewed keys if they have not changed since. A change is noticed before
// any key is deleted, except for one during a deletion of many keys chunk by chunk.
func postDelete(r *request) (any, error) {
	t, err := readTarget(r)
	if err != nil {
		return nil, err
	}
	if len(t.Keys) > 0 {
		return deleteMarked(r, t.Keys)
	}
	if t.Revision <= 0 {
		return nil, badRequest("the revision of the preview is needed")
	}
	if err := t.meant(r); err != nil {
		return nil, err
	}
	if t.Prefix {
		err = r.begin("delete", "all keys that begin with "+auditOf(t.Key))
	} else {
		err = r.begin("delete", auditOf(t.Key))
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(deleteTime)
	defer cancel()
	d := &deletion{}
	defer func(change *Change) {
		switch {
		case t.Prefix:
			change.Before = fmt.Sprintf("%d keys as of revision %d", t.Count, t.Revision)
			change.After = fmt.Sprintf("%d of them deleted", d.Deleted)
		case d.before != nil:
			change.Before = auditOf(d.before)
		}
	}(r.change)
	unchanged := true
	if !t.Prefix || t.Count <= deleteChunk {
		unchanged, err = d.atOnce(ctx, r.client, t)
	} else {
		unchanged, err = d.inChunks(ctx, r.client, t)
	}
	if err == nil && unchanged {
		return d, nil
	}
	if err != nil && d.Deleted == 0 {
		return nil, err
	}
	if !unchanged {
		return nil, d.refused(ctx, r.client, t)
	}
	e := written(r.client, err)
	if a, ok := e.(*apiError); ok {
		c := *a
		c.Detail = d
		return nil, &c
	}
	return nil, e
}

// meant refuses a deletion of many keys unless the user has typed their prefix and this session has
// exported them, so that they can be restored.
func (t *target) meant(r *request) error {
	if !t.Prefix {
		return nil
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	// The page's count may be wrong.
	then, err := r.client.Get(ctx, string(t.Key), t.options(clientv3.WithCountOnly(), clientv3.WithRev(t.Revision))...)
	switch {
	case err != nil:
		return err
	case then.Count != t.Count:
		return conflict(
			fmt.Sprintf("there were %d keys, not %d; nothing was deleted", then.Count, t.Count),
			&deletion{},
		)
	case t.Count <= previewKeys:
		return nil
	case !bytes.Equal(t.Typed, t.Key):
		return badRequest(
			fmt.Sprintf("to delete more than %d keys, type their prefix; nothing was deleted", previewKeys),
		)
	case !r.session.saves.has(saved{string(t.Key), t.Revision, t.Count}):
		return badRequest(fmt.Sprintf("to delete more than %d keys, save them to a file first; nothing was deleted",
			previewKeys))
	}
	return nil
}

// deleteMarked deletes several keys, if none of them has changed since it was shown.
func deleteMarked(r *request, keys []marked) (any, error) {
	if len(keys) > previewKeys {
		return nil, badRequest(fmt.Sprintf("no more than %d keys can be deleted at once; delete more by their prefix",
			previewKeys))
	}
	var (
		names [][]byte
		cmps  []clientv3.Cmp
		ops   []clientv3.Op
		looks []clientv3.Op
	)
	for _, k := range keys {
		if len(k.Key) == 0 || k.Mod <= 0 {
			return nil, badRequest("each key is needed with the revision at which it was seen")
		}
		names = append(names, k.Key)
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(string(k.Key)), "=", k.Mod))
		ops = append(ops, clientv3.OpDelete(string(k.Key)))
		looks = append(looks, clientv3.OpGet(string(k.Key), clientv3.WithKeysOnly()))
	}
	err := r.begin("delete", fmt.Sprintf("%d keys: %s", len(keys), auditOf(bytes.Join(names, []byte(" ")))))
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	done, err := r.client.Txn(ctx).If(cmps...).Then(ops...).Else(looks...).Commit()
	if err != nil {
		return nil, err
	}
	d := &deletion{}
	if done.Succeeded {
		d.Deleted = int64(len(keys))
		return d, nil
	}
	for i, one := range done.Responses {
		now := int64(0) // the key is deleted
		if kvs := one.GetResponseRange().Kvs; len(kvs) > 0 {
			now = kvs[0].ModRevision
		}
		if now != keys[i].Mod {
			d.Changed = append(d.Changed, found{Key: keys[i].Key, Mod: now})
		}
	}
	return nil, conflict("some keys have changed since they were marked; nothing was deleted", d)
}

// same returns the condition that no key of a range was written after the preview.
func same(cmp clientv3.Cmp, rev int64) clientv3.Cmp { return clientv3.Compare(cmp, "<", rev+1) }

func (d *deletion) atOnce(ctx context.Context, kv clientv3.KV, t *target) (bool, error) {
	cmp := clientv3.ModRevision(string(t.Key))
	opts := t.options()
	if t.Prefix {
		cmp = cmp.WithPrefix()
	} else {
		opts = append(opts, clientv3.WithPrevKV())
	}
	done, err := kv.Txn(ctx).If(same(cmp, t.Revision)).Then(clientv3.OpDelete(string(t.Key), opts...)).Commit()
	if err != nil || !done.Succeeded {
		return false, err
	}
	gone := done.Responses[0].GetResponseDeleteRange()
	d.Deleted = gone.Deleted
	for _, kv := range gone.PrevKvs {
		d.before = kv.Value
	}
	return true, nil
}

func (d *deletion) inChunks(ctx context.Context, client *clientv3.Client, t *target) (bool, error) {
	all, err := client.Txn(ctx).If(same(clientv3.ModRevision(string(t.Key)).WithPrefix(), t.Revision)).Commit()
	if err != nil || !all.Succeeded {
		return false, err
	}
	begin, n, last := "", 0, ""
	flush := func() (bool, error) {
		if n == 0 {
			return true, nil
		}
		end := last + "\x00"
		done, err := client.Txn(ctx).If(same(clientv3.ModRevision(begin).WithRange(end), t.Revision)).
			Then(clientv3.OpDelete(begin, clientv3.WithRange(end))).Commit()
		if err != nil || !done.Succeeded {
			return false, err
		}
		d.Deleted += done.Responses[0].GetResponseDeleteRange().Deleted
		n = 0
		return true, nil
	}
	for kv, err := range client.Range(ctx, string(t.Key), clientv3.WithKeysOnly(), clientv3.WithRev(t.Revision)) {
		if err != nil {
			return true, err
		}
		last = string(kv.Key)
		if n == 0 {
			begin = last
		}
		if n++; n == deleteChunk {
			if ok, err := flush(); err != nil || !ok {
				return ok || err != nil, err
			}
		}
	}
	ok, err := flush()
	return ok || err != nil, err
}

// refused returns the refusal, with the keys that have changed.
func (d *deletion) refused(ctx context.Context, kv clientv3.KV, t *target) error {
	message := "keys have changed since the preview; nothing was deleted"
	if d.Deleted > 0 {
		message = "keys have changed since the preview; the rest was not deleted"
	}
	// For this filter the server reads all keys of the target, as it would without it.
	if p, err := look(ctx, kv, t, clientv3.WithMinModRev(t.Revision+1), clientv3.WithLimit(20)); err == nil {
		d.Changed = p.Keys
	}
	return conflict(message, d)
}
