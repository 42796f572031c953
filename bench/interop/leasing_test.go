package interop

import (
	"context"
	"fmt"
	"testing"

	theirs "go.etcd.io/etcd/client/v3"
	theirconcurrency "go.etcd.io/etcd/client/v3/concurrency"
	theirleasing "go.etcd.io/etcd/client/v3/leasing"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
)

const leasingPrefix = "leasing/"

// party is a leasing KV of either kind.
type party struct {
	name   string
	get    func(ctx context.Context, key string) (string, error)
	put    func(ctx context.Context, key, value string) error
	txn    func(ctx context.Context, key, value string) error
	remove func(ctx context.Context, key string) error
	sweep  func(ctx context.Context, prefix string) error
}

func ourParty(kv ours.KV) party {
	return party{
		name: "ours",
		get: func(ctx context.Context, key string) (string, error) {
			r, err := kv.Get(ctx, key)
			if err != nil || len(r.Kvs) == 0 {
				return "", err
			}
			return string(r.Kvs[0].Value), nil
		},
		put: func(ctx context.Context, key, value string) error {
			_, err := kv.Put(ctx, key, value)
			return err
		},
		txn: func(ctx context.Context, key, value string) error {
			_, err := kv.Txn(ctx).If(ours.Compare(ours.Version(key), ">", 0)).Then(ours.OpPut(key, value)).Commit()
			return err
		},
		remove: func(ctx context.Context, key string) error {
			_, err := kv.Delete(ctx, key)
			return err
		},
		sweep: func(ctx context.Context, prefix string) error {
			_, err := kv.Delete(ctx, prefix, ours.WithPrefix())
			return err
		},
	}
}

func theirParty(kv theirs.KV) party {
	return party{
		name: "theirs",
		get: func(ctx context.Context, key string) (string, error) {
			r, err := kv.Get(ctx, key)
			if err != nil || len(r.Kvs) == 0 {
				return "", err
			}
			return string(r.Kvs[0].Value), nil
		},
		put: func(ctx context.Context, key, value string) error {
			_, err := kv.Put(ctx, key, value)
			return err
		},
		txn: func(ctx context.Context, key, value string) error {
			_, err := kv.Txn(ctx).
				If(theirs.Compare(theirs.Version(key), ">", 0)).
				Then(theirs.OpPut(key, value)).
				Commit()
			return err
		},
		remove: func(ctx context.Context, key string) error {
			_, err := kv.Delete(ctx, key)
			return err
		},
		sweep: func(ctx context.Context, prefix string) error {
			_, err := kv.Delete(ctx, prefix, theirs.WithPrefix())
			return err
		},
	}
}

// TestLeasing: whichever kind owns a key, both at once read what either of them writes.
func TestLeasing(t *testing.T) {
	o, x := dial(t)
	a, closeA, err := leasing.NewKV(o, leasingPrefix, concurrency.WithTTL(60))
	if err != nil {
		t.Fatal(err)
	}
	defer closeA()
	b, closeB, err := theirleasing.NewKV(x, leasingPrefix, theirconcurrency.WithTTL(60))
	if err != nil {
		t.Fatal(err)
	}
	defer closeB()
	parties := []party{ourParty(a), theirParty(b)}
	ctx := within(t)
	for i, owner := range parties {
		for j, writer := range parties {
			t.Run(owner.name+" own, "+writer.name+" write", func(t *testing.T) {
				for op, write := range map[string]func(key string) (string, error){
					"put":    func(key string) (string, error) { return "put", writer.put(ctx, key, "put") },
					"txn":    func(key string) (string, error) { return "txn", writer.txn(ctx, key, "txn") },
					"delete": func(key string) (string, error) { return "", writer.remove(ctx, key) },
					"sweep":  func(key string) (string, error) { return "", writer.sweep(ctx, key[:len(key)-1]) },
				} {
					key := fmt.Sprintf("%d-%d-%s/1", i, j, op)
					if err := owner.put(ctx, key, "old"); err != nil {
						t.Fatal(err)
					}
					if value, err := owner.get(ctx, key); err != nil || value != "old" {
						t.Fatalf("%q, %v", value, err)
					}
					// The owner's read has put the leasing key.
					if r, err := o.Get(ctx, leasingPrefix+key); err != nil || len(r.Kvs) != 1 || r.Kvs[0].Lease == 0 {
						t.Fatalf("no owner: %v, %v", r, err)
					}
					want, err := write(key)
					if err != nil {
						t.Fatalf("%s: %v", op, err)
					}
					for _, reader := range parties {
						if value, err := reader.get(ctx, key); err != nil || value != want {
							t.Errorf("%s: %s reads %q, %v, want %q", op, reader.name, value, err, want)
						}
					}
				}
			})
		}
	}
	// Again and again with one key.
	for i := range 40 {
		value := fmt.Sprint(i)
		if err := parties[i%2].put(ctx, "shared", value); err != nil {
			t.Fatal(err)
		}
		for _, reader := range parties {
			if got, err := reader.get(ctx, "shared"); err != nil || got != value {
				t.Errorf("round %d: %s reads %q, %v", i, reader.name, got, err)
			}
		}
	}
}
