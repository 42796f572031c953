package recipe

import (
	"context"
	"fmt"
	"strconv"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

var putEvent = []mvccpb.Event_EventType{clientv3.EventTypePut}

// Queue hands each value to one taker, the oldest first.
//
// A value is handed out at most once. When the answer to a Dequeue is lost, its value may be lost
// too; clientv3.OutcomeUnknown then holds for the error. An Enqueue whose answer is lost may have
// been executed, or be executed later.
type Queue struct {
	client *clientv3.Client
	prefix string
}

// NewQueue returns the queue whose keys are below keyPrefix.
func NewQueue(client *clientv3.Client, keyPrefix string) *Queue { return &Queue{client, keyPrefix} }

// Enqueue puts a value at the end.
func (q *Queue) Enqueue(val string) error { return q.EnqueueContext(q.client.Ctx(), val) }

// EnqueueContext is Enqueue with a context.
func (q *Queue) EnqueueContext(ctx context.Context, val string) error {
	for {
		done, err := put(ctx, q.client, uniqueKey(q.prefix), val)
		if err != nil || done {
			return err
		}
	}
}

// Dequeue takes the oldest value, and waits for one if there is none.
func (q *Queue) Dequeue() (string, error) { return q.DequeueContext(q.client.Ctx()) }

// DequeueContext is Dequeue with a context.
func (q *Queue) DequeueContext(ctx context.Context) (string, error) {
	return dequeue(ctx, q.client, q.prefix+"/", clientv3.WithFirstRev())
}

// PriorityQueue hands each value to one taker: first those with the lowest priority number, and of
// these the oldest. Lost answers have the same effect as for a [Queue].
type PriorityQueue struct {
	client *clientv3.Client
	prefix string
}

// NewPriorityQueue returns the queue whose keys are below key.
func NewPriorityQueue(client *clientv3.Client, key string) *PriorityQueue {
	return &PriorityQueue{client, key + "/"}
}

// Enqueue puts a value behind those of the same priority. Values of priority 0 are taken first.
func (q *PriorityQueue) Enqueue(val string, pr uint16) error {
	return q.EnqueueContext(q.client.Ctx(), val, pr)
}

// EnqueueContext is Enqueue with a context.
func (q *PriorityQueue) EnqueueContext(ctx context.Context, val string, pr uint16) error {
	prefix := fmt.Sprintf("%s%05d", q.prefix, pr)
	// Each priority numbers its values. An Enqueue reads the last number, and also writes the base
	// key on the condition that nobody else has written it since.
	base := "__" + prefix
	for {
		r, err := q.client.Get(ctx, prefix+"/", clientv3.WithLastKey()...)
		if err != nil {
			return err
		}
		next := uint64(0)
		if len(r.Kvs) > 0 {
			last, err := strconv.ParseUint(string(r.Kvs[0].Key[len(prefix)+1:]), 10, 64)
			if err != nil {
				return fmt.Errorf("%q does not belong into a queue: %w", r.Kvs[0].Key, err)
			}
			next = last + 1
		}
		key := fmt.Sprintf("%s/%016d", prefix, next)
		t, err := q.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(base), "<", r.Header.Revision+1),
				clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(base, ""), clientv3.OpPut(key, val)).
			Commit()
		if err != nil || t.Succeeded {
			return err
		}
	}
}

// Dequeue takes the first value, and waits for one if there is none.
func (q *PriorityQueue) Dequeue() (string, error) { return q.DequeueContext(q.client.Ctx()) }

// DequeueContext is Dequeue with a context.
func (q *PriorityQueue) DequeueContext(ctx context.Context) (string, error) {
	return dequeue(ctx, q.client, q.prefix, clientv3.WithFirstKey())
}

// candidates is how many values a taker reads at once. With one, concurrent takers would all try to
// take the same value.
const candidates = 8

// dequeue takes the first value in the order that the options give.
func dequeue(ctx context.Context, c *clientv3.Client, prefix string, first []clientv3.OpOption) (string, error) {
	for {
		r, err := c.Get(ctx, prefix, append(first, clientv3.WithPrefix(), clientv3.WithLimit(candidates))...)
		if err != nil {
			return "", err
		}
		for _, kv := range r.Kvs {
			t, err := c.Txn(ctx).
				If(clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)).
				Then(clientv3.OpDelete(string(kv.Key))).
				Commit()
			if err != nil {
				return "", err
			}
			if t.Succeeded {
				return string(kv.Value), nil
			}
		}
		if len(r.Kvs) > 0 {
			continue // others took these values; there may be more
		}
		_, err = WaitEventsContext(ctx, c, prefix, r.Header.Revision+1, putEvent, clientv3.WithPrefix())
		if err != nil && !lookAgain(err) {
			return "", err
		}
	}
}
