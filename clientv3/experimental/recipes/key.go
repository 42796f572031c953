package recipe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// RemoteKV is a key that this client put, with its last value and revision.
type RemoteKV struct {
	kv  clientv3.KV
	ctx context.Context
	key string
	rev int64
	val string
}

// EphemeralKV is a key that is deleted when a session ends.
type EphemeralKV struct{ RemoteKV }

// Key is the key.
func (rk *RemoteKV) Key() string { return rk.key }

// Revision is the revision of the last Put.
func (rk *RemoteKV) Revision() int64 { return rk.rev }

// Value is the value of the last Put.
func (rk *RemoteKV) Value() string { return rk.val }

// Delete deletes the key. A key that does not exist is no error.
func (rk *RemoteKV) Delete() error {
	if rk.kv == nil {
		return nil
	}
	_, err := rk.kv.Delete(rk.ctx, rk.key)
	return err
}

// Put writes a value; the key stays attached to its lease.
func (rk *RemoteKV) Put(val string) error {
	if rk.kv == nil {
		return ErrNoWatcher
	}
	r, err := rk.kv.Put(rk.ctx, rk.key, val, clientv3.WithIgnoreLease())
	if err == nil {
		rk.rev, rk.val = r.Header.Revision, val
	}
	return err
}

// uniqueKey returns a key below prefix that nobody else uses. Like the official package it names
// the key by the time.
func uniqueKey(prefix string) string {
	return fmt.Sprintf("%s/%d-%08x", prefix, time.Now().UnixNano(), rand.Uint32())
}

// put creates a key. It returns false if the key exists already.
func put(ctx context.Context, c *clientv3.Client, key, val string) (bool, error) {
	r, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, val)).
		Commit()
	if err != nil {
		return false, err
	}
	return r.Succeeded, nil
}
