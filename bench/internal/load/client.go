package load

import (
	"context"

	official "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	ours "github.com/fairlead-go/fairlead/clientv3"
)

// Client is the part of either client that the workload uses.
type Client interface {
	Get(ctx context.Context, key string) error
	Put(ctx context.Context, key, val string) error
	// PutTogether puts the same value to all keys in one transaction.
	PutTogether(ctx context.Context, keys []string, val string) error
	// Keep grants a lease (ttl in seconds) and keeps it alive; ended is closed when the renewals
	// stop.
	Keep(ctx context.Context, ttl int64) (id int64, ended <-chan struct{}, err error)
	// Watch calls seen with every value of key.
	Watch(ctx context.Context, key string, seen func(val string)) error
	Alive(ctx context.Context, lease int64) (bool, error)
	Close() error
}

// Dialer makes a client with these endpoints.
type Dialer func(endpoints []string) (Client, error)

// Official makes an official client with its defaults.
func Official(eps []string) (Client, error) { return OfficialWith()(eps) }

// OfficialWith makes official clients with these options in addition to the defaults.
func OfficialWith(opts ...grpc.DialOption) Dialer {
	return func(eps []string) (Client, error) {
		c, err := official.New(official.Config{Endpoints: eps, Logger: zap.NewNop(), DialOptions: opts})
		return theirs{c}, err
	}
}

// OfficialAs makes an official client of a user whose password is the name.
func OfficialAs(eps []string, user string) (Client, error) {
	c, err := official.New(official.Config{Endpoints: eps, Logger: zap.NewNop(), Username: user, Password: user})
	return theirs{c}, err
}

// Fairlead makes a client of ours with its defaults.
func Fairlead(eps []string) (Client, error) { return FairleadWith()(eps) }

// FairleadWith makes clients of ours with these options in addition to the defaults.
func FairleadWith(opts ...grpc.DialOption) Dialer {
	return func(eps []string) (Client, error) {
		c, err := ours.New(ours.Config{Endpoints: eps, Logger: zap.NewNop(), DialOptions: opts})
		return mine{c}, err
	}
}

// FairleadAs makes a client of ours of a user whose password is the name.
func FairleadAs(eps []string, user string) (Client, error) {
	c, err := ours.New(ours.Config{Endpoints: eps, Logger: zap.NewNop(), Username: user, Password: user})
	return mine{c}, err
}

type theirs struct{ c *official.Client }

func (t theirs) Close() error { return t.c.Close() }

func (t theirs) Get(ctx context.Context, key string) error {
	_, err := t.c.Get(ctx, key)
	return err
}

func (t theirs) Put(ctx context.Context, key, val string) error {
	_, err := t.c.Put(ctx, key, val)
	return err
}

func (t theirs) PutTogether(ctx context.Context, keys []string, val string) error {
	ops := make([]official.Op, len(keys))
	for i, k := range keys {
		ops[i] = official.OpPut(k, val)
	}
	_, err := t.c.Txn(ctx).Then(ops...).Commit()
	return err
}

func (t theirs) Keep(ctx context.Context, ttl int64) (int64, <-chan struct{}, error) {
	g, err := t.c.Grant(ctx, ttl)
	if err != nil {
		return 0, nil, err
	}
	ch, err := t.c.KeepAlive(context.WithoutCancel(ctx), g.ID)
	return int64(g.ID), drained(ch), err
}

func (t theirs) Watch(ctx context.Context, key string, seen func(string)) error {
	ch := t.c.Watch(ctx, key)
	go func() {
		for r := range ch {
			for _, e := range r.Events {
				seen(string(e.Kv.Value))
			}
		}
	}()
	return ctx.Err()
}

func (t theirs) Alive(ctx context.Context, lease int64) (bool, error) {
	r, err := t.c.TimeToLive(ctx, official.LeaseID(lease))
	return err == nil && r.TTL > 0, err
}

type mine struct{ c *ours.Client }

func (m mine) Close() error { return m.c.Close() }

func (m mine) Get(ctx context.Context, key string) error {
	_, err := m.c.Get(ctx, key)
	return err
}

func (m mine) Put(ctx context.Context, key, val string) error {
	_, err := m.c.Put(ctx, key, val)
	return err
}

func (m mine) PutTogether(ctx context.Context, keys []string, val string) error {
	ops := make([]ours.Op, len(keys))
	for i, k := range keys {
		ops[i] = ours.OpPut(k, val)
	}
	_, err := m.c.Txn(ctx).Then(ops...).Commit()
	return err
}

func (m mine) Keep(ctx context.Context, ttl int64) (int64, <-chan struct{}, error) {
	g, err := m.c.Grant(ctx, ttl)
	if err != nil {
		return 0, nil, err
	}
	ch, err := m.c.KeepAlive(context.WithoutCancel(ctx), g.ID)
	return int64(g.ID), drained(ch), err
}

func (m mine) Watch(ctx context.Context, key string, seen func(string)) error {
	ch := m.c.Watch(ctx, key)
	go func() {
		for r := range ch {
			for _, e := range r.Events {
				seen(string(e.Kv.Value))
			}
		}
	}()
	return ctx.Err()
}

func (m mine) Alive(ctx context.Context, lease int64) (bool, error) {
	r, err := m.c.TimeToLive(ctx, ours.LeaseID(lease))
	return err == nil && r.TTL > 0, err
}

// drained reads a channel of renewals, and closes its result when that channel is closed.
func drained[T any](ch <-chan T) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range ch {
		}
	}()
	return ended
}
