package keep

// Records that a restored etcd has again, of keys that are no longer kept. A Keeper remembers the
// last 10,000 that it closed; see package relapse. The kept keys are corrected by the watch.

import (
	"context"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/relapse"
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

// newestEnded is the newest revision with which a key was closed.
func (k *Keeper) newestEnded() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over.Newest()
}

// remembers reports whether any key was closed.
func (k *Keeper) remembers() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over.Len() > 0
}

func (k *Keeper) endAgain(ctx context.Context, id clientv3.LeaseID) error {
	k.mu.Lock()
	notes := k.over.Notes()
	k.mu.Unlock()
	rev, err := relapse.Look(ctx, k.client, id, listTry, k.ended, func(kv *mvccpb.KeyValue) {
		if k.isOver(string(kv.Key)) && kv.CreateRevision <= k.endedAt(string(kv.Key)) {
			k.deleteRecord(string(kv.Key), kv.ModRevision)
		}
	})
	if rev > 0 { // records that are made from now on are not those that were closed
		k.mu.Lock()
		k.over.Lower(notes, rev)
		k.mu.Unlock()
	}
	return err
}

// endedAt returns the revision up to which a record under a closed key is its own.
func (k *Keeper) endedAt(key string) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over.Rev(key)
}

// ended returns the keys that were closed and are not kept again.
func (k *Keeper) ended() []string {
	k.mu.Lock()
	keys := k.over.Keys()
	k.mu.Unlock()
	return slices.DeleteFunc(keys, func(key string) bool { return !k.isOver(key) })
}

// isOver reports whether a key, which was closed, is not kept again.
func (k *Keeper) isOver(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.entries[key] == nil
}
