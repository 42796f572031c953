package main

import (
	"context"

	official "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	ours "github.com/fairlead-go/fairlead/clientv3"
)

// client is the part of either client that the workload uses.
type client interface {
	get(ctx context.Context, key string) error
	put(ctx context.Context, key, val string) error
	// keep grants a lease and keeps it alive; ended is closed when that stops.
	keep(ctx context.Context, ttl int64) (id int64, ended <-chan struct{}, err error)
	// watch calls seen with every value of key.
	watch(ctx context.Context, key string, seen func(val string)) error
	alive(ctx context.Context, lease int64) (bool, error)
	close() error
}

// kinds are the clients that are compared, each with its defaults.
var kinds = []struct {
	name string
	dial func(endpoints []string) (client, error)
}{
	{"official", func(eps []string) (client, error) {
		c, err := official.New(official.Config{Endpoints: eps, Logger: zap.NewNop()})
		return theirs{c}, err
	}},
	{"fairlead", func(eps []string) (client, error) {
		c, err := ours.New(ours.Config{Endpoints: eps, Logger: zap.NewNop()})
		return mine{c}, err
	}},
}

type theirs struct{ c *official.Client }

func (t theirs) close() error { return t.c.Close() }

func (t theirs) get(ctx context.Context, key string) error {
	_, err := t.c.Get(ctx, key)
	return err
}

func (t theirs) put(ctx context.Context, key, val string) error {
	_, err := t.c.Put(ctx, key, val)
	return err
}

func (t theirs) keep(ctx context.Context, ttl int64) (int64, <-chan struct{}, error) {
	g, err := t.c.Grant(ctx, ttl)
	if err != nil {
		return 0, nil, err
	}
	ch, err := t.c.KeepAlive(context.WithoutCancel(ctx), g.ID)
	return int64(g.ID), drained(ch), err
}

func (t theirs) watch(ctx context.Context, key string, seen func(string)) error {
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

func (t theirs) alive(ctx context.Context, lease int64) (bool, error) {
	r, err := t.c.TimeToLive(ctx, official.LeaseID(lease))
	return err == nil && r.TTL > 0, err
}

type mine struct{ c *ours.Client }

func (m mine) close() error { return m.c.Close() }

func (m mine) get(ctx context.Context, key string) error {
	_, err := m.c.Get(ctx, key)
	return err
}

func (m mine) put(ctx context.Context, key, val string) error {
	_, err := m.c.Put(ctx, key, val)
	return err
}

func (m mine) keep(ctx context.Context, ttl int64) (int64, <-chan struct{}, error) {
	g, err := m.c.Grant(ctx, ttl)
	if err != nil {
		return 0, nil, err
	}
	ch, err := m.c.KeepAlive(context.WithoutCancel(ctx), g.ID)
	return int64(g.ID), drained(ch), err
}

func (m mine) watch(ctx context.Context, key string, seen func(string)) error {
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

func (m mine) alive(ctx context.Context, lease int64) (bool, error) {
	r, err := m.c.TimeToLive(ctx, ours.LeaseID(lease))
	return err == nil && r.TTL > 0, err
}

// drained reads a channel of renewals and closes the result when it ends.
func drained[T any](ch <-chan T) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range ch {
		}
	}()
	return ended
}
