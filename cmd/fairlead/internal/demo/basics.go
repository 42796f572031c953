package demo

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// The first part shows each of the client's services once, without faults.

func (d *demo) basics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d.say.title("Put, get, watch")
	put, err := d.client.Put(ctx, "demo/greeting", "hello")
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	d.say.line("put demo/greeting = hello, revision %d", put.Header.Revision)
	get, err := d.client.Get(ctx, "demo/greeting")
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if len(get.Kvs) != 1 || string(get.Kvs[0].Value) != "hello" {
		return fmt.Errorf("get: read %v instead of hello", get.Kvs)
	}
	d.say.line("get demo/greeting = %s", get.Kvs[0].Value)

	watchCtx, stop := context.WithCancel(ctx)
	defer stop()
	events := d.client.Watch(watchCtx, "demo/greeting", clientv3.WithRev(put.Header.Revision))
	if _, err := d.client.Put(ctx, "demo/greeting", "hello again"); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	for seen := 0; seen < 2; {
		resp, ok := <-events
		if !ok || resp.Err() != nil {
			return fmt.Errorf("the watch has ended: %v", resp.Err())
		}
		for _, e := range resp.Events {
			seen++
			d.say.line("watch saw %s %s = %s, revision %d", e.Type, e.Kv.Key, e.Kv.Value, e.Kv.ModRevision)
		}
	}
	return nil
}

func (d *demo) transaction(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d.say.title("A transaction, the same one twice")
	want := []bool{true, false}
	for i := range want {
		resp, err := d.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision("demo/owner"), "=", 0)).
			Then(clientv3.OpPut("demo/owner", "me")).
			Else(clientv3.OpGet("demo/owner")).
			Commit()
		if err != nil {
			return fmt.Errorf("transaction: %w", err)
		}
		if resp.Succeeded != want[i] {
			return fmt.Errorf("transaction %d: succeeded %v, should be %v", i+1, resp.Succeeded, want[i])
		}
		if resp.Succeeded {
			d.say.line("demo/owner did not exist: written")
			continue
		}
		d.say.line("demo/owner exists: read %s", resp.Responses[0].GetResponseRange().Kvs[0].Value)
	}
	return nil
}

// expiry lets a lease expire and waits until its key is deleted.
func (d *demo) expiry(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	d.say.title("A lease that nobody renews")
	lease, err := d.client.Grant(ctx, expiringTTL)
	if err != nil {
		return fmt.Errorf("grant a lease: %w", err)
	}
	put, err := d.client.Put(ctx, "demo/expiring", "soon gone", clientv3.WithLease(lease.ID))
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	start := time.Now()
	d.say.line("put demo/expiring under a lease of %d s", lease.TTL)
	for resp := range d.client.Watch(ctx, "demo/expiring", clientv3.WithRev(put.Header.Revision+1)) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("the watch has ended: %w", err)
		}
		for _, e := range resp.Events {
			if e.Type == mvccpb.Event_DELETE {
				d.say.line("watch saw it deleted after %s", short(time.Since(start)))
				return nil
			}
		}
	}
	return fmt.Errorf("the key of an expired lease is still there after %v", time.Since(start))
}
