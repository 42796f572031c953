package keep

// Records that a restored etcd has again, of keys that are no longer kept. A Keeper remembers the
// last 10,000 that it closed; see package relapse. The watch puts the kept keys right.

import (
	"context"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// relapsed deletes the records under a lease whose keys are no longer kept.
func (k *Keeper) relapsed(ctx context.Context, id clientv3.LeaseID) {
	for failures := 0; k.holds(id) && k.remembers(); failures++ {
		err := k.endAgain(ctx, id)
		if err == nil {
			return
		}
		if refused(err) {
			k.blind.Do(func() {
				k.client.GetLogger().Warn(
					"this user may not see all keys of its lease: if etcd was restored, records that were closed may "+
						"stay",
					zap.Int64("lease", int64(id)),
					zap.Error(err),
				)
			})
			return
		}
		if backoff.Sleep(ctx, Retry.Wait(failures)) != nil {
			return
		}
	}
}

// holds reports whether a lease is the present one.
func (k *Keeper) holds(id clientv3.LeaseID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease == id
}

// remembers reports whether any key was closed.
func (k *Keeper) remembers() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over.Len() > 0
}

func (k *Keeper) endAgain(ctx context.Context, id clientv3.LeaseID) error {
	try, cancel := context.WithTimeout(ctx, listTry)
	defer cancel()
	keys, err := k.client.TimeToLive(try, id, clientv3.WithAttachedKeys())
	if err != nil {
		return err
	}
	for _, key := range keys.Keys {
		if !k.isOver(string(key)) {
			continue
		}
		r, err := k.client.Get(try, string(key)) // all of it: from 3.7 on keys alone come without their lease
		if err != nil {
			return err
		}
		if len(r.Kvs) > 0 && r.Kvs[0].Lease == int64(id) {
			k.deleteRecord(string(key), r.Kvs[0].ModRevision)
		}
	}
	return nil
}

// isOver reports whether a key was closed and is not kept again.
func (k *Keeper) isOver(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.entries[key] == nil && k.over.Rev(key) > 0
}
